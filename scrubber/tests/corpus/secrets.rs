//! Keys and tokens in the formats of their providers, and secrets that are known by their name.

use crate::dice::{ALNUM, BASE64URL, DIGITS, Dice, HEX, LOWER, UPPER_DIGITS};
use crate::line::Payload;

/// A part of a key: fixed text, or so many characters of an alphabet.
#[derive(Clone, Copy)]
enum Part {
    /// As it stands.
    Is(&'static str),
    /// So many of the alphabet.
    Of(&'static str, usize),
}

use Part::{Is, Of};

/// The provider's format.
const FORMATS: &[(&str, &[Part])] = &[
    (
        "AWS",
        &[Is("AKIA"), Of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)],
    ),
    (
        "AWS",
        &[Is("ASIA"), Of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)],
    ),
    ("Google", &[Is("AIza"), Of(BASE64URL, 34), Of(ALNUM, 1)]),
    (
        "Google OAuth",
        &[Is("GOCSPX-"), Of(BASE64URL, 27), Of(ALNUM, 1)],
    ),
    (
        "Google OAuth",
        &[Is("ya29."), Of(BASE64URL, 60), Of(ALNUM, 1)],
    ),
    ("Azure AD", &[Of(ALNUM, 3), Is("8Q~"), Of(ALNUM, 34)]),
    ("GitHub", &[Is("ghp_"), Of(ALNUM, 36)]),
    ("GitHub", &[Is("gho_"), Of(ALNUM, 36)]),
    ("GitHub", &[Is("ghs_"), Of(ALNUM, 36)]),
    (
        "GitHub",
        &[Is("github_pat_"), Of(ALNUM, 22), Is("_"), Of(ALNUM, 59)],
    ),
    ("GitLab", &[Is("glpat-"), Of(BASE64URL, 19), Of(ALNUM, 1)]),
    ("GitLab", &[Is("glrt-"), Of(BASE64URL, 19), Of(ALNUM, 1)]),
    (
        "Slack",
        &[
            Is("xoxb-"),
            Of(DIGITS, 12),
            Is("-"),
            Of(DIGITS, 12),
            Is("-"),
            Of(ALNUM, 24),
        ],
    ),
    (
        "Slack",
        &[
            Is("xoxp-"),
            Of(DIGITS, 12),
            Is("-"),
            Of(DIGITS, 12),
            Is("-"),
            Of(HEX, 32),
        ],
    ),
    (
        "Slack",
        &[
            Is("xapp-1-A"),
            Of(UPPER_DIGITS, 10),
            Is("-"),
            Of(DIGITS, 13),
            Is("-"),
            Of(HEX, 64),
        ],
    ),
    ("Stripe", &[Is("sk_live_"), Of(ALNUM, 24)]),
    ("Stripe", &[Is("rk_live_"), Of(ALNUM, 24)]),
    ("Stripe", &[Is("sk_test_"), Of(ALNUM, 99)]),
    (
        "OpenAI",
        &[Is("sk-"), Of(ALNUM, 20), Is("T3BlbkFJ"), Of(ALNUM, 20)],
    ),
    ("OpenAI", &[Is("sk-proj-"), Of(ALNUM, 48)]),
    ("Anthropic", &[Is("sk-ant-api03-"), Of(ALNUM, 92), Is("AA")]),
    (
        "SendGrid",
        &[Is("SG."), Of(ALNUM, 22), Is("."), Of(ALNUM, 43)],
    ),
    ("Twilio", &[Is("SK"), Of(HEX, 32)]),
    ("Mailgun", &[Is("key-"), Of(HEX, 32)]),
    ("Mailchimp", &[Of(HEX, 32), Is("-us12")]),
    ("npm", &[Is("npm_"), Of(ALNUM, 36)]),
    ("PyPI", &[Is("pypi-AgEIcHlwaS5vcmc"), Of(ALNUM, 60)]),
    ("RubyGems", &[Is("rubygems_"), Of(HEX, 48)]),
    ("Docker", &[Is("dckr_pat_"), Of(ALNUM, 27)]),
    ("DigitalOcean", &[Is("dop_v1_"), Of(HEX, 64)]),
    ("Shopify", &[Is("shpat_"), Of(HEX, 32)]),
    ("Hugging Face", &[Is("hf_"), Of(ALNUM, 34)]),
    ("Vault", &[Is("hvs."), Of(ALNUM, 90)]),
    ("Vault", &[Is("hvb."), Of(ALNUM, 90)]),
    (
        "Terraform",
        &[Of(ALNUM, 14), Is(".atlasv1."), Of(ALNUM, 64)],
    ),
    ("Databricks", &[Is("dapi"), Of(HEX, 32)]),
    ("Doppler", &[Is("dp.pt."), Of(ALNUM, 43)]),
    (
        "HubSpot",
        &[
            Is("pat-na1-"),
            Of(HEX, 8),
            Is("-"),
            Of(HEX, 4),
            Is("-"),
            Of(HEX, 4),
            Is("-"),
            Of(HEX, 4),
            Is("-"),
            Of(HEX, 12),
        ],
    ),
    ("Notion", &[Is("ntn_"), Of(ALNUM, 46)]),
    ("Notion", &[Is("secret_"), Of(ALNUM, 43)]),
    ("Replicate", &[Is("r8_"), Of(ALNUM, 37)]),
    ("Supabase", &[Is("sbp_"), Of(HEX, 40)]),
    ("PlanetScale", &[Is("pscale_tkn_"), Of(ALNUM, 43)]),
    ("PlanetScale", &[Is("pscale_pw_"), Of(ALNUM, 43)]),
    ("Perplexity", &[Is("pplx-"), Of(ALNUM, 48)]),
    (
        "Grafana",
        &[Is("glsa_"), Of(ALNUM, 32), Is("_"), Of(HEX, 8)],
    ),
    ("New Relic", &[Is("NRAK-"), Of(UPPER_DIGITS, 27)]),
    ("Sentry", &[Is("sntryu_"), Of(HEX, 64)]),
    ("Linear", &[Is("lin_api_"), Of(ALNUM, 40)]),
    ("Postman", &[Is("PMAK-"), Of(HEX, 24), Is("-"), Of(HEX, 34)]),
    ("Atlassian", &[Is("ATATT3xFfGF0"), Of(ALNUM, 180)]),
    ("Bitbucket", &[Is("ATBB"), Of(ALNUM, 32)]),
    (
        "Airtable",
        &[Is("pat"), Of(ALNUM, 14), Is("."), Of(HEX, 64)],
    ),
    ("Contentful", &[Is("CFPAT-"), Of(ALNUM, 43)]),
    (
        "CircleCI",
        &[Is("CCIPAT_"), Of(ALNUM, 22), Is("_"), Of(HEX, 40)],
    ),
    ("Square", &[Is("sq0atp-"), Of(ALNUM, 22)]),
    ("Square", &[Is("EAAA"), Of(ALNUM, 60)]),
    (
        "Plaid",
        &[
            Is("access-production-"),
            Of(HEX, 8),
            Is("-"),
            Of(HEX, 4),
            Is("-"),
            Of(HEX, 4),
            Is("-"),
            Of(HEX, 4),
            Is("-"),
            Of(HEX, 12),
        ],
    ),
    (
        "Brevo",
        &[Is("xkeysib-"), Of(HEX, 64), Is("-"), Of(ALNUM, 16)],
    ),
    ("SonarQube", &[Is("squ_"), Of(HEX, 40)]),
    ("Sourcegraph", &[Is("sgp_"), Of(HEX, 40)]),
    ("Typeform", &[Is("tfp_"), Of(ALNUM, 59)]),
    (
        "Tailscale",
        &[Is("tskey-auth-"), Of(ALNUM, 12), Is("-"), Of(ALNUM, 32)],
    ),
    ("Fly", &[Is("fo1_"), Of(ALNUM, 43)]),
    ("Pulumi", &[Is("pul-"), Of(HEX, 40)]),
    ("Figma", &[Is("figd_"), Of(ALNUM, 40)]),
    (
        "Discord",
        &[
            Is("M"),
            Of(ALNUM, 23),
            Is("."),
            Of(ALNUM, 6),
            Is("."),
            Of(ALNUM, 38),
        ],
    ),
    (
        "Telegram",
        &[Of("123456789", 1), Of(DIGITS, 8), Is(":AA"), Of(ALNUM, 33)],
    ),
    (
        "age",
        &[
            Is("AGE-SECRET-KEY-1"),
            Of("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58),
        ],
    ),
    ("webhooks", &[Is("whsec_"), Of(ALNUM, 32)]),
    ("Groq", &[Is("gsk_"), Of(ALNUM, 52)]),
    ("xAI", &[Is("xai-"), Of(ALNUM, 80)]),
];

fn built(dice: &mut Dice, parts: &[Part]) -> String {
    let part = |part: &Part| match part {
        Is(text) => (*text).to_owned(),
        Of(alphabet, length) => dice.text(alphabet, *length),
    };
    parts.iter().map(part).collect()
}

/// A key of a provider.
pub(crate) fn provider(dice: &mut Dice) -> Payload {
    let (_, parts) = dice.of(FORMATS);
    Payload::whole(built(dice, parts))
}

/// An address whose path is a secret.
pub(crate) fn webhook(dice: &mut Dice) -> Payload {
    match dice.below(3) {
        0 => {
            let ids = format!(
                "T{}/B{}/",
                dice.text(UPPER_DIGITS, 8),
                dice.text(UPPER_DIGITS, 10)
            );
            let before = format!("https://hooks.slack.com/services/{ids}");
            Payload::part(&before, &dice.text(ALNUM, 24), "")
        }
        1 => {
            let before = format!(
                "https://discord.com/api/webhooks/1{}/",
                dice.text(DIGITS, 17)
            );
            Payload::part(&before, &dice.text(BASE64URL, 68), "")
        }
        _ => {
            let before = "https://storage.example/x?X-Amz-Expires=900&X-Amz-Signature=";
            Payload::part(before, &dice.text(HEX, 64), "&X-Amz-SignedHeaders=host")
        }
    }
}

/// A token of three parts, without a signature, or encrypted, of five.
pub(crate) fn jwt(dice: &mut Dice) -> Payload {
    let part = |dice: &mut Dice, low, high| {
        let body = dice.some(BASE64URL, low, high);
        format!("{body}A")
    };
    let header = format!("eyJ{}", part(dice, 17, 60));
    Payload::whole(match dice.below(6) {
        0 => format!(
            "{header}..{}.{}.{}",
            part(dice, 15, 15),
            part(dice, 40, 90),
            part(dice, 21, 21)
        ),
        1 => format!("{header}.eyJ{}.", part(dice, 30, 120)),
        _ => format!("{header}.eyJ{}.{}", part(dice, 30, 200), part(dice, 42, 85)),
    })
}

/// What stands behind `Bearer` and `Basic`.
pub(crate) fn bearer(dice: &mut Dice) -> Payload {
    let token = match dice.below(4) {
        0 => format!("{}7", dice.some(ALNUM, 15, 60)),
        1 => dice.text(HEX, 40),
        2 => format!(
            "eyJ{}.eyJ{}.{}",
            dice.text(ALNUM, 30),
            dice.text(ALNUM, 50),
            dice.text(ALNUM, 43)
        ),
        // `user:` and a password.
        _ => {
            let secret = format!(
                "dXNlcjp{}",
                dice.of(&["wYXNzd29yZA==", "odW50ZXIy", "zM2NyM3Q="])
            );
            return Payload::part(dice.of(&["Basic ", "Authorization: Basic "]), &secret, "");
        }
    };
    let before = dice.of(&[
        "Bearer ",
        "bearer ",
        "Authorization: Bearer ",
        "authorization=Bearer ",
        "header Bearer ",
    ]);
    Payload::part(before, &token, "")
}

/// A key in its block, whole, escaped, or cut off.
pub(crate) fn private_key(dice: &mut Dice) -> Payload {
    let label = dice.of(&[
        "RSA PRIVATE KEY",
        "PRIVATE KEY",
        "EC PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "DSA PRIVATE KEY",
        "PGP PRIVATE KEY BLOCK",
    ]);
    let newline = dice.of(&["\n", "\\n", "\r\n", " "]);
    let lines: Vec<String> = (0..dice.between(2, 12))
        .map(|_| dice.text(ALNUM, 64))
        .collect();
    let body = lines.join(newline);
    let whole = format!("-----BEGIN {label}-----{newline}{body}{newline}-----END {label}-----");
    Payload::whole(whole)
}

/// A password of some strength, that is no word.
fn password(dice: &mut Dice) -> String {
    let marks = dice.of(&["", "!", "$2", "#1", "%x", "*", "@9", "-", "_"]);
    format!(
        "{}{}{marks}{}",
        dice.some(LOWER, 3, 6),
        dice.below(1000),
        dice.some(ALNUM, 4, 8)
    )
}

/// A password in the address of a service.
pub(crate) fn in_url(dice: &mut Dice) -> Payload {
    let scheme = dice.of(&[
        "postgres",
        "postgresql",
        "mysql",
        "redis",
        "rediss",
        "amqp",
        "mongodb",
        "mongodb+srv",
        "https",
        "http",
        "ftp",
        "smtp",
        "ldap",
        "jdbc:postgresql",
        "clickhouse",
        "git+https",
    ]);
    let user = if scheme.starts_with("redis") {
        String::new()
    } else {
        dice.some(LOWER, 3, 8)
    };
    let secret = password(dice).replace(['#', '%', '@'], "%40");
    let after = dice.of(&[
        "@db.internal:5432/app?x=1",
        "@10.0.0.5:6379/0",
        "@example.com/",
        "@[::1]:80/x",
        "@localhost",
    ]);
    Payload::part(&format!("{scheme}://{user}:"), &secret, after)
}

/// Names after which a secret follows, in several languages.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "DB_PASSWORD",
    "dbPassword",
    "secret",
    "client_secret",
    "clientSecret",
    "api_key",
    "apiKey",
    "APIKEY",
    "x-api-key",
    "access_token",
    "accessToken",
    "refresh_token",
    "auth_token",
    "private_key",
    "AWS_SECRET_ACCESS_KEY",
    "encryption_key",
    "passphrase",
    "smtp_pass",
    "session_token",
    "credentials",
    "passwort",
    "kennwort",
    "mot_de_passe",
    "motDePasse",
    "contraseña",
    "contrasena",
    "senha",
    "wachtwoord",
    "lösenord",
    "salasana",
    "hasło",
    "heslo",
    "parola",
    "şifre",
    "пароль",
    "密码",
    "パスワード",
    "비밀번호",
];

/// A secret behind its name, in the spellings of many formats.
pub(crate) fn named(dice: &mut Dice) -> Payload {
    let name = dice.of(NAMES);
    let secret = password(dice);
    let spelled: (String, &str) = match dice.below(13) {
        0 => (format!("{name}="), " next=1"),
        1 => (format!("{name}: "), "\nnext: 1"),
        2 => (format!("{name} = '"), "'"),
        3 => (format!("{{\"user\":\"x\",\"{name}\":\""), "\"}"),
        4 => (format!("{{\"{name}\": \""), "\", \"b\": 1}"),
        5 => (format!("{{\"body\":\"{{\\\"{name}\\\":\\\""), "\\\"}\"}"),
        6 => (format!("{{\\\\\\\"{name}\\\\\\\": \\\\\\\""), "\\\\\\\"}"),
        7 => (format!("?user=bob&{name}="), "&page=2"),
        8 => (format!("<{name}>"), "</"),
        9 => (format!(":{name} => \""), "\""),
        10 => (format!("{name}=\""), "\""),
        11 => (format!("export {name}="), "; run"),
        _ => (format!("user[{name}]="), "&x=1"),
    };
    let (before, after) = spelled;
    let after = if after == "</" {
        format!("</{name}>")
    } else {
        after.to_owned()
    };
    Payload::part(&before, &secret, &after)
}

/// A secret behind a mark of full width.
pub(crate) fn full_width(dice: &mut Dice) -> Payload {
    let name = dice.of(&[
        "密码",
        "密碼",
        "用户密码",
        "パスワード",
        "password",
        "api_key",
        "口令",
    ]);
    let mark = dice.of(&["：", "： ", "＝"]);
    let after = dice.of(&["を確認", "，请重试", "。", "）", " next"]);
    Payload::part(&format!("{name}{mark}"), &password(dice), after)
}

/// A password in the grammar of SQL.
pub(crate) fn in_sql(dice: &mut Dice) -> Payload {
    let user = dice.some(LOWER, 3, 8);
    let (before, after) = match dice.below(6) {
        0 => (format!("CREATE USER {user} WITH PASSWORD '"), "'"),
        1 => (
            format!("ALTER ROLE {user} ENCRYPTED PASSWORD '"),
            "' VALID UNTIL 'infinity'",
        ),
        2 => (format!("create user {user} identified by '"), "'"),
        3 => (format!("SET PASSWORD FOR '{user}'@'%' = PASSWORD('"), "')"),
        4 => (
            format!("ALTER USER '{user}'@'localhost' IDENTIFIED BY '"),
            "'; FLUSH PRIVILEGES",
        ),
        _ => (format!("alter user {user} password  '"), "';"),
    };
    let secret = password(dice);
    // A quote within is doubled.
    let secret = if dice.once_in(4) {
        format!("{secret}''{secret}")
    } else {
        secret
    };
    Payload::part(&before, &secret, after)
}

/// A secret as a number or a truth value in JSON, or behind a flag.
pub(crate) fn loose(dice: &mut Dice) -> Payload {
    match dice.below(4) {
        0 => Payload::part(
            "{\"cvv\": ",
            &dice.between(100_000, 999_999).to_string(),
            ", \"a\": 1}",
        ),
        1 => Payload::part(
            "mysql --password ",
            &password(dice).replace('-', "x"),
            " -u root",
        ),
        2 => Payload::part("deploy --api-key=", &password(dice), " --force"),
        _ => {
            let cookies = format!("sid={}; theme=dark", dice.text(ALNUM, 24));
            Payload::part("Cookie: ", &cookies, "\r\nHost: x")
        }
    }
}
