//! What is nobody's and comes closest: identifiers, digests, versions, times, numbers, names of
//! packages, words that sound like secrets. All of it is to stay as it is.

use crate::dice::{ALNUM, DIGITS, Dice, HEX, LOWER, UPPER_DIGITS};
use crate::ibans::no_iban;
use crate::personal::no_card;

/// Makes a text.
pub(crate) type Make = fn(&mut Dice) -> String;

/// Every kind.
pub(crate) const KINDS: &[(&str, Make)] = &[
    ("trace id", |dice| dice.text(HEX, 32)),
    ("span id", |dice| dice.text(HEX, 16)),
    ("traceparent", |dice| {
        format!("00-{}-{}-01", dice.text(HEX, 32), dice.text(HEX, 16))
    }),
    ("uuid", uuid),
    ("digest", digest),
    ("subresource integrity", |dice| {
        format!("sha384-{}", dice.text(ALNUM, 64))
    }),
    ("commit", commit),
    ("image", |dice| {
        format!("registry.example:5000/app@sha256:{}", dice.text(HEX, 64))
    }),
    ("etag", |dice| {
        format!("W/\\\"{}-{}\\\"", dice.text(HEX, 4), dice.text(HEX, 12))
    }),
    ("object id", |dice| dice.text(HEX, 24)),
    ("ulid", |dice| {
        format!("01{}", dice.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24))
    }),
    ("container", |dice| dice.text(HEX, 12)),
    ("cloud resource", cloud),
    ("pod", pod),
    ("version", version),
    ("timestamp", timestamp),
    ("duration", |dice| {
        format!("{}.{}s", dice.below(100), dice.text(DIGITS, 9))
    }),
    ("no card", no_card),
    ("no account", no_iban),
    ("order number", order),
    ("number", number),
    ("no security number", no_ssn),
    ("no telephone", no_phone),
    ("article number", article),
    ("hex dump", hex_dump),
    ("pointer", |dice| format!("0x{}", dice.text(HEX, 16))),
    ("fingerprint", fingerprint),
    ("package", package),
    ("remote", remote),
    ("host", host),
    ("unit", unit),
    ("object", |dice| {
        format!("com.example.{}@{}", capital(dice), dice.text(HEX, 8))
    }),
    ("word like a secret", secret_word),
    ("name like a secret", secret_name),
    ("place of a secret", placeholder),
    ("path", path),
    ("agent", agent),
    ("code", code),
    ("lsn", |dice| {
        format!("{}/{}", dice.below(100), dice.text("0123456789ABCDEF", 8))
    }),
    ("coordinates", |dice| {
        format!("52.{}, 13.{}", dice.text(DIGITS, 6), dice.text(DIGITS, 6))
    }),
    ("amount", |dice| {
        format!(
            "{},{},{}.{}",
            dice.between(1, 999),
            dice.text(DIGITS, 3),
            dice.text(DIGITS, 3),
            dice.text(DIGITS, 2)
        )
    }),
    ("base64", |dice| format!("{}==", dice.text(ALNUM, 22))),
    ("slug", |dice| {
        format!(
            "{}-{}-{}",
            dice.some(LOWER, 4, 9),
            dice.some(LOWER, 4, 9),
            dice.text(HEX, 10)
        )
    }),
];

fn uuid(dice: &mut Dice) -> String {
    let version = dice.of(&["1", "4", "7"]);
    let uuid = format!(
        "{}-{}-{version}{}-a{}-{}",
        dice.text(HEX, 8),
        dice.text(HEX, 4),
        dice.text(HEX, 3),
        dice.text(HEX, 3),
        dice.text(HEX, 12)
    );
    match dice.below(4) {
        0 => uuid.to_uppercase(),
        // All of its digits decimal, which looks most like a number.
        1 => uuid
            .chars()
            .map(|mark| {
                if mark.is_ascii_alphabetic() {
                    '4'
                } else {
                    mark
                }
            })
            .collect(),
        _ => uuid,
    }
}

fn digest(dice: &mut Dice) -> String {
    let length = dice.of(&[32, 40, 56, 64, 96, 128]);
    let digest = dice.text(HEX, length);
    match dice.below(3) {
        0 => format!("sha256:{digest}"),
        1 => digest.to_uppercase(),
        _ => digest,
    }
}

fn commit(dice: &mut Dice) -> String {
    let length = dice.of(&[7, 8, 10, 12, 40]);
    format!("commit {}", dice.text(HEX, length))
}

fn cloud(dice: &mut Dice) -> String {
    match dice.below(5) {
        0 => format!(
            "arn:aws:iam::{}:role/{}",
            dice.text(DIGITS, 12),
            dice.some(LOWER, 4, 9)
        ),
        1 => format!("i-0{}", dice.text(HEX, 16)),
        2 => format!(
            "projects/{}-{}/locations/global",
            dice.some(LOWER, 4, 8),
            dice.text(DIGITS, 6)
        ),
        3 => format!("vpc-{}/subnet-{}", dice.text(HEX, 17), dice.text(HEX, 17)),
        _ => format!(
            "/subscriptions/{}/resourceGroups/{}",
            uuid(dice),
            dice.some(LOWER, 4, 8)
        ),
    }
}

fn pod(dice: &mut Dice) -> String {
    let (name, set) = (dice.some(LOWER, 4, 10), dice.text(HEX, 10));
    format!(
        "{name}-{set}-{}",
        dice.text("bcdfghjklmnpqrstvwxz2456789", 5)
    )
}

fn version(dice: &mut Dice) -> String {
    let (a, b, c) = (dice.below(30), dice.below(200), dice.below(20_000));
    match dice.below(7) {
        0 => format!("v{a}.{b}.{c}"),
        1 => format!("10.0.{c}.{}", dice.between(300, 9999)),
        2 => format!("{a}.{b}.0-rc.{}", dice.below(9)),
        3 => format!("{a}.{b}.{c}-SNAPSHOT+{}", dice.text(HEX, 7)),
        4 => format!("2026.{:02}.{:02}", dice.between(1, 12), dice.between(1, 28)),
        5 => format!("Chrome/{}.0.{c}.{}", dice.between(90, 140), dice.below(200)),
        _ => format!("go1.{a}.{}", dice.below(12)),
    }
}

fn timestamp(dice: &mut Dice) -> String {
    let (month, day) = (dice.between(1, 12), dice.between(1, 28));
    let time = format!(
        "{:02}:{:02}:{:02}",
        dice.below(24),
        dice.below(60),
        dice.below(60)
    );
    match dice.below(12) {
        0 => dice.between(1_500_000_000, 1_999_999_999).to_string(),
        1 => dice
            .between(1_500_000_000_000, 1_999_999_999_999)
            .to_string(),
        2 => dice
            .between(1_500_000_000_000_000, 1_999_999_999_999_999)
            .to_string(),
        3 => dice
            .between(1_500_000_000_000_000_000, 1_999_999_999_999_999_999)
            .to_string(),
        4 => format!("2026-{month:02}-{day:02}T{time}.{}Z", dice.text(DIGITS, 9)),
        5 => format!("2026-{month:02}-{day:02} {time},{}", dice.text(DIGITS, 3)),
        6 => format!("[{day:02}/Nov/2026:{time} +0530]"),
        7 => format!("Sat, {day:02} Nov 2026 {time} GMT"),
        8 => format!("2026{month:02}{day:02}{}", time.replace(':', "")),
        9 => format!("{month:02}/{day:02}/26 {time}"),
        10 => format!("2026{month:02}{day:02}T{}Z", time.replace(':', "")),
        _ => format!("{day:02}.{month:02}.2026 {time}"),
    }
}

fn order(dice: &mut Dice) -> String {
    match dice.below(7) {
        0 => format!("order {}", dice.between(1_000_000, 99_999_999)),
        1 => format!("ORD-2026-{}", dice.text(DIGITS, 6)),
        2 => format!("invoice INV{}", dice.text(DIGITS, 10)),
        3 => format!("order_id={}", dice.between(1_000_000_000, 1_999_999_999)),
        4 => format!("#{}", dice.between(1000, 99_999_999)),
        5 => format!("tracking 1Z{}", dice.text(UPPER_DIGITS, 16)),
        _ => format!(
            "ticket {}-{}",
            dice.some(LOWER, 3, 4).to_uppercase(),
            dice.below(100_000)
        ),
    }
}

fn number(dice: &mut Dice) -> String {
    match dice.below(8) {
        0 => dice.below(100_000_000).to_string(),
        1 => format!("{}.{}", dice.below(1_000_000), dice.text(DIGITS, 6)),
        2 => format!("-{}", dice.text(DIGITS, 16)),
        3 => format!(
            "{} {} {}",
            dice.below(1000),
            dice.below(100_000),
            dice.below(1000)
        ),
        4 => format!("{}-{}", dice.below(1000), dice.below(1000)),
        5 => format!(
            "{} of {} bytes",
            dice.below(100_000_000),
            dice.below(1_000_000_000)
        ),
        6 => format!(
            "{:02} {:02} {:02} {:02}",
            dice.below(100),
            dice.below(100),
            dice.below(100),
            dice.below(100)
        ),
        _ => format!("{}%", dice.below(100)),
    }
}

/// Of ranges that were never given out, and numbers in other groups.
fn no_ssn(dice: &mut Dice) -> String {
    match dice.below(5) {
        0 => format!("000-{}-{}", dice.text(DIGITS, 2), dice.text(DIGITS, 4)),
        1 => format!("666-{}-{}", dice.text(DIGITS, 2), dice.text(DIGITS, 4)),
        2 => format!("9{}-00-{}", dice.text(DIGITS, 2), dice.text(DIGITS, 4)),
        3 => format!(
            "{}-{}-{}-7",
            dice.text(DIGITS, 3),
            dice.text(DIGITS, 2),
            dice.text(DIGITS, 4)
        ),
        _ => format!("part {}", dice.between(100_000_000, 899_999_999)),
    }
}

/// Words of telephony beside numbers that are none.
fn no_phone(dice: &mut Dice) -> String {
    let small = dice.below(1000);
    match dice.below(12) {
        0 => format!("hotel {}", dice.between(1_000_000, 9_999_999)),
        1 => format!("phone calls: {small}"),
        2 => format!(
            "mobile build 2026{:02}{:02}",
            dice.between(1, 12),
            dice.between(1, 28)
        ),
        3 => format!(
            "phone number is missing in request {}",
            dice.between(10_000_000, 99_999_999)
        ),
        4 => format!("sms gateway answered in {small} ms"),
        5 => format!("telephone line {small}"),
        6 => format!("phone_number_id={}", dice.text(DIGITS, 17)),
        7 => format!("fax queue {small} of {small}"),
        8 => format!("(17) {} (2026)", dice.below(100_000)),
        9 => format!("mobile=true order={}", dice.between(10_000_000, 99_999_999)),
        10 => format!("115-{}-{}", dice.text(DIGITS, 3), dice.text(DIGITS, 4)),
        _ => format!("+{small}"),
    }
}

fn article(dice: &mut Dice) -> String {
    match dice.below(4) {
        0 => format!("978-3-16-{}-0", dice.text(DIGITS, 6)),
        1 => format!("EAN 590123412345{}", dice.below(10)),
        2 => format!("IMEI 8612{}", dice.text(DIGITS, 11)),
        _ => format!("VIN WVWZZZ1JZ{}", dice.text(UPPER_DIGITS, 8)),
    }
}

fn hex_dump(dice: &mut Dice) -> String {
    let mark = dice.of(&[" ", "  "]);
    let width = dice.of(&[2, 4]);
    let parts: Vec<String> = (0..8).map(|_| dice.text(HEX, width)).collect();
    format!("{}: {}", dice.text(HEX, 8), parts.join(mark))
}

fn fingerprint(dice: &mut Dice) -> String {
    let pairs: Vec<String> = (0..dice.of(&[16, 20, 32]))
        .map(|_| dice.text(HEX, 2))
        .collect();
    match dice.below(2) {
        0 => pairs.join(":"),
        _ => format!("SHA256:{}", dice.text(ALNUM, 43)),
    }
}

fn package(dice: &mut Dice) -> String {
    let (name, scope) = (dice.some(LOWER, 3, 8), dice.some(LOWER, 3, 8));
    let version = format!("{}.{}.{}", dice.below(30), dice.below(30), dice.below(30));
    match dice.below(10) {
        0 => format!("{name}@{version}"),
        1 => format!("@{scope}/{name}@{version}"),
        2 => format!("@types/{name}"),
        3 => format!("{name}@{version}-beta.2"),
        4 => format!("{name}@latest"),
        5 => format!("{name}@npm:{scope}@{version}"),
        6 => format!("golang.org/x/{name}@v0.{}.7", dice.below(30)),
        7 => format!("{name}@{version}-rc.next"),
        8 => format!("pkg:npm/%40{scope}/{name}@{version}"),
        _ => format!("{name}-{version}.tgz"),
    }
}

fn remote(dice: &mut Dice) -> String {
    let (org, name) = (dice.some(LOWER, 3, 8), dice.some(LOWER, 3, 8));
    match dice.below(4) {
        0 => format!("git@github.com:{org}/{name}.git"),
        1 => format!("ssh://git@gitlab.example.com:2222/{org}/{name}.git"),
        2 => format!("https://github.com/{org}/{name}.git"),
        _ => format!("git@bitbucket.org:{org}/{name}.git"),
    }
}

fn host(dice: &mut Dice) -> String {
    let (user, host) = (dice.some(LOWER, 3, 8), dice.some(LOWER, 3, 8));
    match dice.below(5) {
        0 => format!("{user}@{host}"),
        1 => format!("{user}@{host}{}", dice.below(100)),
        2 => format!("https://{host}.example/@{user}"),
        3 => format!("{host}.example.com:{}", dice.between(1024, 65535)),
        _ => format!("{user}@10.{}.{}.7", dice.below(256), dice.below(256)),
    }
}

fn unit(dice: &mut Dice) -> String {
    match dice.below(5) {
        0 => format!("getty@tty{}.service", dice.below(10)),
        1 => format!("user@{}.service", dice.between(1000, 2000)),
        2 => format!("logo@{}x.png", dice.between(2, 4)),
        3 => format!("wg-quick@wg{}.service", dice.below(10)),
        _ => format!("openvpn@{}.conf", dice.some(LOWER, 4, 8)),
    }
}

fn capital(dice: &mut Dice) -> String {
    let name = dice.some(LOWER, 4, 9);
    name[..1].to_uppercase() + &name[1..]
}

fn secret_word(dice: &mut Dice) -> String {
    dice.of(&[
        "password reset requested",
        "token expired",
        "secret rotated",
        "bearer authentication",
        "Basic authentication",
        "invalid password",
        "password: required",
        "token: unexpected end",
        "authentication failed",
        "auth: failed",
        "Failed password for invalid user admin",
        "the secret is not set",
        "cookie banner shown",
        "no API key given",
        "passwordless login",
        "token bucket is empty",
        "tokens per second: 17",
        "secretary of state",
        "Passwort vergessen",
        "mot de passe oublié",
        "credentials: missing",
        "pwd is /var/lib",
        "password=null",
        "password policy: 12 letters",
        "密码：错误",
        "密码：不能为空",
        "パスワード：必須",
        "unexpected token 'abc123'",
        "key 'password' 'missing'",
        "expected password 'string'",
        "ALTER USER bob PASSWORD NULL",
    ])
    .to_owned()
}

fn secret_name(dice: &mut Dice) -> String {
    let (name, word) = (
        dice.of(&[
            "author",
            "authored_by",
            "coauthor",
            "authority",
            "tokens_used",
            "max_tokens",
            "token_count",
            "token_type",
            "password_length",
            "has_password",
            "is_secret",
            "secret_name",
            "primary_key",
            "cache_key",
            "sort_key",
            "key",
            "passenger",
            "compass",
            "cookie_count",
            "session_id",
            "api_key_id",
            "password_changed_at",
            "bypass",
        ]),
        dice.some(LOWER, 4, 9),
    );
    match dice.below(3) {
        0 => format!("{name}={word}"),
        1 => format!("{name}: {}", dice.below(100_000)),
        _ => format!("{name} = \\\"{word}\\\""),
    }
}

fn placeholder(dice: &mut Dice) -> String {
    dice.of(&[
        "password=${DB_PASSWORD}",
        "token={{ token }}",
        "password=%s",
        "password=***",
        "password=[REDACTED]",
        "api_key=$API_KEY",
        "secret=?",
        "password=xxxx",
        "password=<redacted>",
        "user [EMAIL] paid with [CARD]",
    ])
    .to_owned()
}

fn path(dice: &mut Dice) -> String {
    let (a, b) = (dice.some(LOWER, 3, 8), dice.some(LOWER, 3, 8));
    match dice.below(6) {
        0 => format!("/var/lib/{a}/{b}"),
        1 => "/Users/Shared/x".to_owned(),
        2 => "C:\\Users\\Public\\Desktop".replace('\\', "/"),
        3 => format!("/api/v1/users/{}", dice.below(100_000)),
        4 => format!("https://example.com/home/{a}"),
        _ => format!("/usr/share/{a}/homes/{b}"),
    }
}

fn agent(dice: &mut Dice) -> String {
    dice.of(&[
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 Version/17.1 Mobile/15E148",
        "curl/8.4.0", "Go-http-client/2.0", "kube-probe/1.29", "Mozilla/5.0 (compatible; bot/2.1; +http://example.com/bot)",
    ])
    .to_owned()
}

fn code(dice: &mut Dice) -> String {
    let name = dice.some(LOWER, 3, 8);
    match dice.below(7) {
        0 => format!("std::fs::{name}"),
        1 => format!("@Override {name}"),
        2 => format!("{name}@{}.finish", capital(dice)).replacen(&name, "this", 1),
        3 => format!("a=={name}"),
        4 => format!("{name}(17, 42)"),
        5 => format!("@media (min-width: {}px)", dice.below(2000)),
        _ => format!("sk-{name}-fade-dot-container"),
    }
}
