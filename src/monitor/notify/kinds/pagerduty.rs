//! PagerDuty: Events API v2 (developer.pagerduty.com/docs/send-alert-event). One incident of the monitor is one incident
//! there: its begin triggers, its end resolves, both with the same `dedup_key`. So a repeated delivery opens no second one.

use super::descriptor::{
    ChannelDraft, Delivery, KindDescriptor, NAME, OptionField, OptionForm, SecretField, SecretNeed, UrlPlace,
    check_name,
};
use super::request::{RequestMethod, ServiceRequest, judged};
use crate::clock::Moment;
use crate::monitor::notify::fit::{TextLimit, TextUnit, fit, plain};
use crate::monitor::notify::http::{HttpResponse, Refusal};
use crate::monitor::notify::message::{DeliveryError, Message};
use crate::monitor::notify::notice::{EventKind, Notice, Severity};
use crate::monitor::notify::target::check_url;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write;

pub static PAGERDUTY: KindDescriptor = KindDescriptor {
    about: "Open and resolve incidents of a PagerDuty service (Events API v2)",
    target: NAME,
    secret: Some(SecretField {
        option: "routing-key-file",
        called: "integration key",
        help: "File with the integration key (routing key) of an Events API v2 integration; read again for each message",
        need: SecretNeed::Required,
    }),
    options: &[
        OptionField {
            name: "api",
            option: "api",
            value: "URL",
            label: "API",
            help: "Server of the API; default: https://events.pagerduty.com; for accounts in the EU: \
                   https://events.eu.pagerduty.com",
            form: OptionForm::Optional,
            check: check_url,
        },
        OptionField {
            name: "source",
            option: "source",
            value: "NAME",
            label: "Name of this monitor",
            help: "Name of this monitor in PagerDuty; default: heartbeat-monitor. Give monitors that share an \
                   integration key different names",
            form: OptionForm::Optional,
            check: check_name,
        },
    ],
    address: UrlPlace::Option { name: "api", default: Some("https://events.pagerduty.com") },
    check,
    send,
};

const SUMMARY_LIMIT: TextLimit = TextLimit { most: 1024, unit: TextUnit::Characters };
/// An event may have 512 KB.
const DETAILS_LIMIT: TextLimit = TextLimit { most: 10_000, unit: TextUnit::Characters };

fn check(draft: &ChannelDraft<'_>) -> Result<(), String> {
    let is_key = |key: &str| key.len() == 32 && key.chars().all(|c| c.is_ascii_alphanumeric());
    match draft.secret.is_some_and(is_key) {
        true => Ok(()),
        false => Err("the integration key of an Events API v2 integration has 32 letters and digits".into()),
    }
}

fn send(delivery: &Delivery<'_>) -> Result<String, DeliveryError> {
    let notice = delivery.message.first_notice()?;
    let answer = post(delivery, &event(delivery, notice, is_end(notice)))?;
    match notice.severity() {
        // A test leaves nothing open.
        Severity::Test => post(delivery, &event(delivery, notice, true)),
        _ => Ok(answer),
    }
}

fn post(delivery: &Delivery<'_>, event: &Value) -> Result<String, DeliveryError> {
    let key = delivery.secret()?;
    let mut body = event.clone();
    body["routing_key"] = key.as_str().into();
    let url = format!("{}/v2/enqueue", delivery.server()?);
    let request =
        ServiceRequest { method: RequestMethod::Post, url: &url, headers: &[], body: &body, secret: &key };
    delivery.request(&request, judge)
}

/// Whether the incident is over: also after flapping, which tells no end of its own.
fn is_end(notice: &Notice) -> bool {
    notice.severity() == Severity::Good
}

fn event(delivery: &Delivery<'_>, notice: &Notice, is_end: bool) -> Value {
    let source = delivery.option("source").unwrap_or("heartbeat-monitor");
    let key = dedup_key(source, notice, delivery.message.id());
    if is_end {
        return json!({ "event_action": "resolve", "dedup_key": key });
    }
    let mut event = json!({
        "event_action": "trigger",
        "dedup_key": key,
        "client": source,
        "payload": payload(delivery.message, notice, delivery.now()),
    });
    if let Some(link) = delivery.message.link() {
        event["client_url"] = link.as_str().into();
        event["links"] = json!([{ "href": link, "text": "The machine's page" }]);
    }
    event
}

fn payload(message: &Message, notice: &Notice, now: Moment) -> Value {
    // A reminder must not lower the severity of the incident that it is about.
    let news = if notice.news.is_repetition() { notice.state } else { notice.news };
    let severity = match (notice.severity(), news) {
        (Severity::Bad, EventKind::Offline | EventKind::Trouble | EventKind::Steady) => "critical",
        (Severity::Bad, _) => "error",
        (Severity::Unsteady, _) => "warning",
        (Severity::Good | Severity::Planned | Severity::Test, _) => "info",
    };
    json!({
        "summary": fit(&message.plain_title(), "", SUMMARY_LIMIT, plain),
        "source": notice.hostname.as_deref().unwrap_or(&notice.name),
        "severity": severity,
        "timestamp": Moment(notice.at).rfc_3339(),
        "component": notice.name,
        "class": kind(notice),
        "custom_details": {
            "text": fit(&message.body(now), "", DETAILS_LIMIT, plain),
            "machine": notice.name,
            "description": notice.description,
        },
    })
}

/// Kind of the incident.
fn kind(notice: &Notice) -> &str {
    match (&notice.condition, notice.news) {
        (Some(condition), _) => &condition.condition,
        (None, EventKind::Test | EventKind::Trouble | EventKind::Summary) => notice.news.name(),
        (None, _) => "offline",
    }
}

/// At most one incident of a machine, a kind and a subject is open, so these are its key. A summary and a test are no
/// incidents, and have one of their own.
fn dedup_key(source: &str, notice: &Notice, row: i64) -> String {
    let subject = notice.condition.as_ref().map_or("", |condition| condition.subject.as_str());
    let own =
        matches!(notice.news, EventKind::Test | EventKind::Summary).then(|| format!("{}-{row}", notice.at));
    let parts = [source, &notice.machine.to_string(), kind(notice), subject, &own.unwrap_or_default()];
    // PagerDuty accepts 255 characters; a subject may have more.
    let hash = Sha256::digest(parts.join("\0"));
    let mut key = format!("heartbeat-{}-{}-", notice.machine, kind(notice));
    for byte in &hash[..16] {
        // Writing to a String cannot fail.
        let _ = write!(key, "{byte:02x}");
    }
    key
}

fn judge(answer: &HttpResponse) -> Option<Refusal> {
    let json = answer.json();
    let errors = json["errors"].to_string();
    judged(answer, || match answer.status {
        400 if errors.contains("routing_key") || errors.contains("outing key") => {
            Refusal::retried("PagerDuty does not know the integration key")
        }
        400 if json["status"] == "invalid event" => Refusal::never("PagerDuty does not accept the event"),
        429 => Refusal::retried("PagerDuty limits our events"),
        _ => Refusal::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::notify::condition_notice::ConditionNotice;
    use crate::monitor::zone::Clock;

    fn notice(news: EventKind, state: EventKind, subject: Option<&str>) -> Notice {
        let condition = subject.map(|subject| ConditionNotice {
            condition: "camera".into(),
            subject: subject.into(),
            ..ConditionNotice::default()
        });
        Notice { news, state, machine: 7, condition, ..Notice::test(Moment(1000)) }
    }

    #[test]
    fn all_news_about_one_incident_have_one_key_and_other_incidents_another() {
        use EventKind::{Condition, ConditionEnded, Flapping, Offline, Online, Steady};
        let key = |notice: &Notice| dedup_key("monitor", notice, 1);
        let outage = key(&notice(Offline, Offline, None));
        for (news, state) in [(Online, Online), (Flapping, Offline), (Steady, Online), (Steady, Offline)] {
            assert_eq!(key(&notice(news, state, None)), outage, "{news:?}");
        }
        let gate = key(&notice(Condition, Condition, Some("gate")));
        for (news, state) in [(ConditionEnded, ConditionEnded), (Flapping, Condition), (Steady, Condition)] {
            assert_eq!(key(&notice(news, state, Some("gate"))), gate, "{news:?}");
        }
        let long = "x".repeat(1000);
        let keys = [outage, gate, key(&notice(Condition, Condition, Some(&long)))];
        assert!(keys.iter().all(|key| key.len() <= 255));
        assert!(keys[0] != keys[1] && keys[1] != keys[2]);
        assert_ne!(dedup_key("other", &notice(Offline, Offline, None), 1), keys[0]);
    }

    #[test]
    fn an_incident_keeps_its_severity_in_reminders() {
        use EventKind::{Condition, Escalation, Offline, Reminder};
        let severity = |news, state, subject| {
            let notice = notice(news, state, subject);
            let message = Message {
                rows: vec![1],
                notices: vec![notice.clone()],
                clock: Clock::UTC,
                site: None,
                acknowledge: None,
            };
            payload(&message, &notice, Moment(2000))["severity"].clone()
        };
        for news in [Offline, Reminder, Escalation] {
            assert_eq!(severity(news, Offline, None), "critical", "{news:?}");
        }
        for news in [Condition, Reminder] {
            assert_eq!(severity(news, Condition, Some("gate")), "error", "{news:?}");
        }
    }

    #[test]
    fn a_steady_state_after_flapping_resolves_or_keeps_the_incident_open() {
        use EventKind::{ConditionEnded, Flapping, Offline, Online, Steady, Stopped};
        for (news, state, ends) in [
            (Steady, Online, true),
            (Steady, ConditionEnded, true),
            (Online, Online, true),
            (Steady, Offline, false),
            (Flapping, Online, false),
            (Stopped, Stopped, false),
        ] {
            assert_eq!(is_end(&notice(news, state, None)), ends, "{news:?} {state:?}");
        }
    }
}
