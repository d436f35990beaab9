//! Mail: by TLS, with a log-in, tried again, and never in plain text with a password.

use super::{World, channel, ends, test};
use millrace_tests::receiver::{MailServer, Protection};
use serde_json::json;

pub(super) fn mail_goes_by_tls_logs_in_and_is_tried_again(world: &World) {
    let org = world.org("mail");
    let address = |server: &MailServer, security: &str| {
        json!({"host": "127.0.0.1", "port": server.address.port(), "security": security,
               "username": "user", "password": "verysecretword",
               "from": "millrace@example.net", "to": ["soc@example.net"]})
    };
    let made = |protection: Protection, security: &str, script: fn(usize) -> u16| {
        let server = MailServer::new(protection, script);
        let mail = channel(&org, "email", address(&server, security), json!({}));
        (server, mail)
    };
    let busy_at_first = |number: usize| if number == 0 { 451 } else { 250 };
    let willing = [
        made(Protection::Starttls, "starttls", busy_at_first),
        made(Protection::Tls, "tls", busy_at_first),
    ];
    let (_refuser, refused) = made(Protection::Tls, "tls", |_| 550);
    world.alert(&org, "high");
    for (server, mail) in &willing {
        let sent = ends(&org, mail, "sent");
        assert_eq!(
            (&sent["attempts"], &sent["last_status"]),
            (&json!(2), &json!(250)),
            "{sent}"
        );
        let mails = server.seen();
        assert_eq!(mails.len(), 2);
        for one in &mails {
            assert!(one.encrypted && one.login.starts_with("PLAIN "), "{one:?}");
            assert_eq!(one.to, ["TO:<soc@example.net>"]);
        }
        assert_eq!(
            mails[0].data, mails[1].data,
            "the same mail, with the same Message-ID"
        );
    }
    // What is refused for good is not tried again.
    let dead = ends(&org, &refused, "dead");
    assert_eq!(
        (&dead["attempts"], &dead["last_status"]),
        (&json!(1), &json!(550)),
        "{dead}"
    );
    // Where TLS cannot be had, nothing is said.
    for (protection, security, why) in [
        (Protection::Plain, "starttls", "STARTTLS"),
        (Protection::Plain, "tls", "TLS with the mail server failed"),
    ] {
        let (server, mail) = made(protection, security, |_| 250);
        let tested = test(&org, &mail);
        let said = tested["notification"]["last_error"].as_str().unwrap();
        assert!(said.contains(why), "{said}");
        assert!(server.seen().is_empty());
    }
}
