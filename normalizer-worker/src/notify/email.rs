//! Mail: plain text, one message to all recipients. Its Message-ID is made of the message's key, so
//! that a mail sent twice is known as one; all mails about an alert are one thread.

use super::message::Message;
use super::text::clip;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message as Mail};
use millrace_shared::channel::MailServer;
use millrace_shared::signature::digest;
use std::time::SystemTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Characters of a subject: what mail clients show, twice over.
const SUBJECT_CHARS: usize = 200;

/// The mail, or why there can be none.
pub(super) fn mail(message: &Message, server: &MailServer) -> Result<Mail, &'static str> {
    let sender = server
        .from
        .parse()
        .map_err(|_| "the sender cannot be used")?;
    let mut mail = Mail::builder()
        .from(Mailbox::new(Some("Millrace".to_owned()), sender))
        .subject(one_line(&message.headline()))
        .message_id(Some(id(&short(&message.key), server)))
        .date(happened(message));
    for to in &server.to {
        let recipient = to.parse().map_err(|_| "a recipient cannot be used")?;
        mail = mail.to(Mailbox::new(None, recipient));
    }
    if let Some(alert) = &message.alert {
        let thread = id(&alert.id, server);
        mail = mail.in_reply_to(thread.clone()).references(thread);
    }
    // RFC 3834: nobody is to answer it by machine.
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    mail.raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
        .header(ContentType::TEXT_PLAIN)
        .body(text(message))
        .map_err(|_| "the mail cannot be made")
}

/// The domain of the sender: by which we present ourselves.
pub(super) fn domain(server: &MailServer) -> &str {
    server.from.rsplit_once('@').map_or("localhost", |at| at.1)
}

fn id(name: &str, server: &MailServer) -> String {
    format!("<{name}@{}>", domain(server))
}

/// A key is longer than the line of a header should be: half its digest does as well.
fn short(key: &str) -> String {
    let digest = digest(key.as_bytes());
    hex::encode(digest.get(..16).unwrap_or_default())
}

fn happened(message: &Message) -> SystemTime {
    OffsetDateTime::parse(&message.timestamp, &Rfc3339)
        .map_or(SystemTime::UNIX_EPOCH, SystemTime::from)
}

fn one_line(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    clip(&line, SUBJECT_CHARS)
}

fn text(message: &Message) -> String {
    let mut lines = vec![
        message.headline(),
        String::new(),
        message.body(),
        String::new(),
    ];
    let facts = message.facts();
    lines.extend(facts.iter().map(|(name, value)| format!("{name}: {value}")));
    if let Some(link) = &message.link {
        lines.extend([String::new(), link.clone()]);
    }
    lines.push(String::new());
    lines.join("\r\n")
}

#[cfg(test)]
mod tests {
    use super::super::message::samples;
    use super::*;
    use millrace_shared::channel::{Happening, MailSecurity};

    fn server() -> MailServer {
        MailServer {
            host: "mail.example.net".to_owned(),
            port: 587,
            security: MailSecurity::Starttls,
            username: None,
            password: None,
            from: "millrace@example.net".to_owned(),
            to: vec!["a@example.net".to_owned(), "b@example.org".to_owned()],
        }
    }

    fn written(message: &Message) -> String {
        String::from_utf8(mail(message, &server()).unwrap().formatted()).unwrap()
    }

    #[test]
    fn a_mail_is_the_same_again_and_one_of_a_thread() {
        let message = samples::message(Happening::Created);
        let text = written(&message);
        assert_eq!(text, written(&message));
        for line in [
            "From: Millrace <millrace@example.net>\r\n",
            "To: a@example.net, b@example.org\r\n",
            "Subject: [HIGH] New alert: Brute force\r\n",
            &format!("Message-ID: <{}@example.net>\r\n", short(&message.key)),
            "In-Reply-To: <0f7e3c1a-0000-8000-8000-000000000002@example.net>\r\n",
            "Date: Thu, 26 Nov 2026 10:00:00 +0000\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "ip: 198.51.100.7\r\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn a_title_adds_no_header() {
        let mut message = samples::message(Happening::Created);
        message.alert.as_mut().unwrap().title = "x\r\nBcc: eve@example.net\r\n\r\nhi".to_owned();
        let text = written(&message);
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("\r\nBcc:"), "{head}");
    }

    #[test]
    fn the_longest_mail_is_ascii_with_short_lines() {
        let text = written(&samples::longest());
        assert!(text.is_ascii());
        assert!(text.split("\r\n").all(|line| line.len() <= 998));
    }
}
