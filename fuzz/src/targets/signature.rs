//! Signature headers: whatever they hold, they make a claim or none, and no claim but the true one
//! holds.

use super::text;
use millrace_shared::secret::Secret;
use millrace_shared::signature::{
    Claim, parse_body_signature, parse_webhook, sign_body, sign_webhook,
};

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The input is a header, or three of them, a line each.
pub fn headers(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let secret = Secret::parse(SECRET).expect("a secret");
    let secrets = std::slice::from_ref(&secret);
    if let Some(claim) = parse_body_signature(text) {
        let Claim::Body { mac } = &claim else {
            panic!("a body signature claims something else");
        };
        // What it claims is what is written there.
        let written = text.trim().trim_start_matches("sha256=");
        assert!(hex::encode(mac).eq_ignore_ascii_case(written));
        let right = sign_body(&secret, data);
        assert_eq!(
            claim.holds(secrets, data),
            right.eq_ignore_ascii_case(text.trim())
        );
    }
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or("");
    let (id, timestamp, macs) = (line(), line(), line());
    if let Some(claim) = parse_webhook(id, timestamp, macs) {
        let at: i64 = timestamp.parse().expect("a claim has a time");
        let right = sign_webhook(&secret, id, at, data);
        let holds = claim.holds(secrets, data);
        assert!(!holds || macs.contains(&right), "a wrong claim holds");
    }
    let right = sign_webhook(&secret, "id", 7, data);
    let claim = parse_webhook("id", "7", &right).expect("a right header makes a claim");
    assert!(claim.holds(secrets, data) && !claim.holds(&[], data));
    let more = [data, b"x"].concat();
    assert!(
        !claim.holds(secrets, &more),
        "a claim holds for other bytes"
    );
}
