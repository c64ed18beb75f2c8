//! A headless Chromium, driven through its pipe: no port, no other program.

use crossbeam_channel::{Receiver, unbounded};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Debian's name, and others'.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// It starts in two seconds and answers in milliseconds; longer by far while other tests use all processors.
const PATIENCE: Duration = Duration::from_secs(60);

/// Killed on drop, with all it wrote.
pub struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    last: u64,
    session: String,
    /// Errors of the page: what the console shows, refusals of the policy and of requests, exceptions, dialogs.
    pub complaints: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// On a phone's screen; `None` where there is none.
    pub fn start() -> Option<Browser> {
        let path = std::env::var("PATH").unwrap_or_default();
        let places = path.split(':').flat_map(|dir| NAMES.map(|name| Path::new(dir).join(name)));
        let program = places.into_iter().find(|place| place.exists())?;
        let profile = tempfile::tempdir().expect("a profile");
        // It reads from descriptor 3 and writes to 4. As root, and in many containers, it has no sandbox.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"]).arg(program);
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]);
        command.args(["--remote-debugging-pipe", "--disable-background-networking", "--disable-sync"]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, messages) = unbounded();
        thread::spawn(move || {
            for message in output.split(0).map_while(Result::ok) {
                let message: Value = serde_json::from_slice(&message).expect("JSON");
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let complaints = Vec::new();
        let mut browser = Browser {
            child,
            input,
            messages,
            last: 0,
            session: String::new(),
            complaints,
            _profile: profile,
        };
        browser.attach();
        Some(browser)
    }

    fn attach(&mut self) {
        let page = self.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached =
            self.call("Target.attachToTarget", json!({"targetId": page["targetId"], "flatten": true}));
        self.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            self.call(domain, json!({}));
        }
        // As if its window were in front: an element can have the focus.
        self.call("Emulation.setFocusEmulationEnabled", json!({"enabled": true}));
        self.resize(390);
    }

    /// A screen of this width; below 600 pixels a phone's.
    pub fn resize(&mut self, width: u32) {
        let screen = json!({"width": width, "height": 844, "deviceScaleFactor": 2, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", screen);
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.attempt(method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The result, or what the browser says against it.
    fn attempt(&mut self, method: &str, parameters: Value) -> Result<Value, Value> {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.input.write_all(format!("{message}\0").as_bytes()).expect("the browser runs");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message =
                self.messages.recv_timeout(left).unwrap_or_else(|_| panic!("no answer to {method}"));
            if message["id"] == self.last {
                return if message["error"].is_null() {
                    Ok(message["result"].clone())
                } else {
                    Err(message["error"].clone())
                };
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        match message["method"].as_str() {
            Some("Log.entryAdded") => self.complaints.push(message["params"]["entry"]["text"].to_string()),
            Some("Page.javascriptDialogOpening") => {
                self.complaints.push(format!("a dialog: {}", message["params"]["message"]));
            }
            Some("Runtime.consoleAPICalled") if message["params"]["type"] == "error" => {
                self.complaints.push(message["params"]["args"].to_string());
            }
            Some("Runtime.exceptionThrown") => self.complaints.push(message["params"].to_string()),
            _ => {}
        }
    }

    /// Opens a page and waits until it is loaded, which long polling does not delay.
    pub fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({"url": url}));
        self.until("document.readyState === 'complete'");
    }

    /// Clicks on an element, by its CSS selector, and waits until the page that it leads to is loaded.
    #[track_caller]
    pub fn follow(&mut self, selector: &str) {
        self.value("window.isLeft = true; true");
        self.press_on(selector);
        // While one page replaces the other, nothing can be evaluated.
        let deadline = Instant::now() + PATIENCE;
        while self.evaluate("!window.isLeft && document.readyState === 'complete'") != Some(json!(true)) {
            assert!(Instant::now() < deadline, "{selector} leads nowhere: {:?}", self.complaints);
            thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    pub fn press_on(&mut self, selector: &str) {
        let found = self.value(&format!(
            "[document.querySelector({selector:?})].map(it => {{ it?.click(); return it !== null }})[0]"
        ));
        assert_eq!(found, true, "no {selector}");
    }

    #[track_caller]
    pub fn fill(&mut self, id: &str, text: &str) {
        self.value(&format!("document.getElementById({id:?}).value = {text:?}"));
    }

    /// Waits until an expression is true in the page.
    #[track_caller]
    pub fn until(&mut self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.evaluate(expression) != Some(json!(true)) {
            assert!(Instant::now() < deadline, "never {expression}: {:?}", self.complaints);
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// A press of a key: "Tab", "Enter", "ArrowRight" and the like.
    pub fn key(&mut self, name: &str) {
        let (number, text) = match name {
            "Tab" => (9, None),
            "Enter" => (13, Some("\r")),
            "Escape" => (27, None),
            "ArrowLeft" => (37, None),
            "ArrowRight" => (39, None),
            _ => panic!("no number of the key {name}"),
        };
        let mut key =
            json!({"type": "rawKeyDown", "key": name, "code": name, "windowsVirtualKeyCode": number});
        if let Some(text) = text {
            (key["type"], key["text"]) = (json!("keyDown"), json!(text));
        }
        self.call("Input.dispatchKeyEvent", key.clone());
        key["type"] = json!("keyUp");
        self.call("Input.dispatchKeyEvent", key);
    }

    /// Sets a cookie for all paths of this address.
    pub fn set_cookie(&mut self, url: &str, name: &str, value: &str) {
        let cookie = json!({"name": name, "value": value, "url": url, "path": "/", "httpOnly": true});
        self.call("Network.setCookie", cookie);
    }

    /// Nodes of the document and bytes of JavaScript that are in use, after the browser has collected what is not.
    pub fn footprint(&mut self) -> (f64, f64) {
        self.call("Performance.enable", json!({}));
        self.call("HeapProfiler.collectGarbage", json!({}));
        let found = self.call("Performance.getMetrics", json!({}));
        let metric = |name: &str| {
            let metrics = found["metrics"].as_array().expect("a list");
            metrics.iter().find(|metric| metric["name"] == name).and_then(|metric| metric["value"].as_f64())
        };
        (metric("Nodes").expect("nodes"), metric("JSHeapUsedSize").expect("a heap"))
    }

    /// As a browser that has never been here.
    pub fn forget_cookies(&mut self) {
        self.call("Network.clearBrowserCookies", json!({}));
    }

    /// Later pages run no scripts; `value` works still.
    pub fn turn_scripts_off(&mut self) {
        self.call("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    }

    /// Believes certificates that nobody signed.
    pub fn accept_any_certificate(&mut self) {
        self.call("Security.setIgnoreCertificateErrors", json!({"ignore": true}));
    }

    /// The value of an expression; `None` if it fails, for example between two pages.
    fn evaluate(&mut self, expression: &str) -> Option<Value> {
        let parameters = json!({"expression": expression, "returnByValue": true});
        let result = self.attempt("Runtime.evaluate", parameters).ok()?;
        result["exceptionDetails"].is_null().then(|| result["result"]["value"].clone())
    }

    /// The value of an expression in the page.
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.call("Runtime.evaluate", parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// The text of an element, as a person sees it; empty while it is hidden, whose `innerText` is not.
    pub fn text(&mut self, id: &str) -> String {
        let seen = format!("[document.getElementById({id:?})].find(it => it?.checkVisibility())?.innerText");
        self.value(&seen).as_str().unwrap_or_default().to_owned()
    }

    pub fn click(&mut self, id: &str) {
        self.value(&format!("document.getElementById({id:?}).click()"));
    }

    /// Waits until the element says so.
    pub fn wait_for(&mut self, id: &str, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text(id);
            if text.contains(part) {
                return text;
            }
            assert!(Instant::now() < deadline, "{id} never says {part:?}: {text:?} {:?}", self.complaints);
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Writes a picture of the whole page where `$HEARTBEAT_SCREENSHOTS` names a directory.
    pub fn picture(&mut self, name: &str) {
        let Some(directory) = std::env::var_os("HEARTBEAT_SCREENSHOTS") else { return };
        let whole = json!({"format": "png", "captureBeyondViewport": true});
        let picture = self.call("Page.captureScreenshot", whole);
        let bytes = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            picture["data"].as_str().expect("a picture"),
        );
        fs::write(Path::new(&directory).join(format!("{name}.png")), bytes.expect("base64"))
            .expect("written");
    }

    pub fn prefers_dark(&mut self) {
        self.prefers("dark");
    }

    /// A colour scheme: "light" or "dark".
    pub fn prefers(&mut self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", features);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // sh has become the browser, and its helpers end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
