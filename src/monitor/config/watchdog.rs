//! Checks the section `[watchdog]`.

use super::check::Check;
use super::used::WatchdogConfig;
use super::written;
use crate::config::ConfigError;
use std::ops::RangeInclusive;
use std::time::Duration;
use ureq::http::Uri;

/// Watchdogs expect a ping each minute; above an hour, a dead monitor is noticed too late.
const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

impl Check<'_> {
    pub fn watchdog(&self, written: written::Watchdog) -> Result<Option<WatchdogConfig>, ConfigError> {
        let interval = self.source.period(written.interval, "1m", &INTERVAL)?;
        let url = written.url.filter(|url| !url.get_ref().is_empty());
        if let (None, Some(file)) = (&url, written.token_file.as_ref().or(written.ca_file.as_ref())) {
            return Err(self.source.fault(file.span(), "needs url beside it"));
        }
        let token_file = self.source.optional_path(written.token_file)?;
        let ca_file = self.source.optional_path(written.ca_file)?;
        let Some(url) = url else { return Ok(None) };
        let parsed: Option<Uri> = url.get_ref().parse().ok();
        let is_usable = |parsed: &Uri| {
            matches!(parsed.scheme_str(), Some("http" | "https"))
                && parsed.host().is_some_and(|host| !host.is_empty())
        };
        if !parsed.as_ref().is_some_and(is_usable) {
            return Err(self.source.fault(url.span(), "must start with http:// or https:// and name a host"));
        }
        Ok(Some(WatchdogConfig { url: url.into_inner(), interval, token_file, ca_file }))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Source;
    use crate::monitor::config::Config;
    use std::time::Duration;

    fn config(text: &str) -> Result<Config, String> {
        let source = Source::new("c.toml", format!("[watchdog]\n{text}\n"));
        Config::from_source(&source, &|_| None).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_url_nobody_is_pinged_and_with_one_each_minute() {
        assert_eq!(config("url = \"\"").expect("good").watchdog, None);
        let watchdog =
            config("url = \"https://ping.example/a1\"").expect("good").watchdog.expect("a watchdog");
        assert_eq!((watchdog.interval, watchdog.token_file), (Duration::from_secs(60), None));
    }

    #[test]
    fn what_cannot_be_pinged_is_refused() {
        for (text, problem) in [
            ("url = \"ping.example\"", "must start with http:// or https://"),
            ("url = \"ftp://ping.example/\"", "must start with http:// or https://"),
            ("url = \"https://p.example/\"\ninterval = \"2h\"", "interval"),
            ("url = \"https://p.example/\"\ntoken_file = \"token\"", "token_file"),
            ("token_file = \"/token\"", "needs url beside it"),
        ] {
            let error = config(text).expect_err(text);
            assert!(error.contains(problem) && error.starts_with("c.toml:"), "{error}");
        }
    }
}
