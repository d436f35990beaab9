//! The example that docs/notifications.md gives to receivers of webhooks; what is sent to them is tested
//! where the notifications have the machine for themselves.

use millrace_shared::secret::Secret;

/// The example of docs/notifications.md, run as it stands there.
#[test]
fn the_documented_verification_works_when_pasted() {
    let page = millrace_devstack::place::workspace().join("docs/notifications.md");
    let page = std::fs::read_to_string(page).unwrap();
    let example = page.split_once("```python\n").unwrap().1;
    let example = example.split_once("```").unwrap().0;
    let secret = Secret::parse("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    let body = b"{\"type\":\"test\"}";
    let signature = millrace_shared::signature::sign_webhook(&secret, "id:1", 1_700_000_000, body);
    let check = |body: &str, now: u32| {
        let program = format!(
            "{example}\nheaders = {{'webhook-id': 'id:1', 'webhook-timestamp': '1700000000', \
             'webhook-signature': '{signature}'}}\n\
             print(is_genuine('{}', headers, b'{body}', {now}))",
            secret.reveal()
        );
        let run = std::process::Command::new("python3")
            .args(["-c", &program])
            .output();
        run.map(|output| {
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            said
        })
    };
    let Ok(genuine) = check("{\"type\":\"test\"}", 1_700_000_100) else {
        eprintln!("skipped: there is no python3 here");
        return;
    };
    assert_eq!(genuine, "True");
    assert_eq!(
        check("{\"type\":\"text\"}", 1_700_000_100).unwrap(),
        "False"
    );
    assert_eq!(
        check("{\"type\":\"test\"}", 1_700_001_000).unwrap(),
        "False",
        "too old"
    );
}
