//! Canaries: personal values and secrets that occur nowhere else, and a look into every place where
//! they must not turn up.

use crate::installation::{Installation, Running};
use crate::process;
use crate::stores::{clickhouse, number};
use crate::wait::{block_on, until};
use millrace_shared::secret::random;
use redis::AsyncCommands as _;

/// Tables that hold raw bytes by design; SECURITY.md says so.
const RAW_TABLES: [&str; 1] = ["dead_letter"];

/// Values that must turn up nowhere.
#[derive(Clone, Debug)]
pub struct Canaries {
    /// An e-mail address.
    pub email: String,
    /// A card number, with spaces.
    pub card: String,
    /// A social security number.
    pub ssn: String,
    /// An access token.
    pub token: String,
    /// A password.
    pub password: String,
    /// Secrets of the installation.
    pub secrets: Vec<String>,
}

impl Canaries {
    /// Fresh values, and these secrets.
    ///
    /// # Panics
    /// Without randomness.
    #[must_use]
    pub fn new(secrets: Vec<String>) -> Canaries {
        let bytes = random::<16>().expect("randomness");
        let mark = hex::encode(&bytes[..6]);
        let digit = |at: usize| u32::from(bytes[at] % 10);
        let card: Vec<u32> = [4, 5, 3, 2].into_iter().chain((0..11).map(digit)).collect();
        let ssn = (0..9).map(digit).collect::<Vec<u32>>();
        Canaries {
            email: format!("canary{mark}@example.com"),
            card: groups_of_four(&with_check_digit(card)),
            // An area, a group and a serial number that are given out.
            ssn: format!(
                "5{}{}-4{}-8{}{}{}",
                ssn[0] % 9 + 1,
                ssn[1],
                ssn[2] % 9 + 1,
                ssn[3],
                ssn[4],
                ssn[5]
            ),
            token: format!(
                "ghp_{}",
                hex::encode([bytes, bytes].concat())
                    .get(..36)
                    .expect("64 digits")
            ),
            password: format!("pw{mark}"),
            secrets,
        }
    }

    /// All personal ones in a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Canaries {
            email,
            card,
            ssn,
            token,
            password,
            ..
        } = self;
        format!("{email} paid with {card}, ssn {ssn}, token {token}, password={password} ")
    }

    /// The sentence as a JSON string in which every sign is an escape.
    #[must_use]
    pub fn escaped(&self) -> String {
        let escape = |unit: u16| format!("\\u{unit:04x}");
        let units: String = self.sentence().encode_utf16().map(escape).collect();
        format!("\"{units}\"")
    }

    /// Every form that would betray one of them.
    #[must_use]
    pub fn forms(&self) -> Vec<String> {
        let mark = self.email.split('@').next().unwrap_or_default().to_owned();
        let mut forms = vec![
            mark,
            self.card.clone(),
            self.card.replace(' ', ""),
            self.ssn.clone(),
        ];
        forms.extend([self.token.clone(), self.password.clone()]);
        forms.extend(self.secrets.iter().cloned());
        forms
    }

    /// Fails when a text holds one of them.
    ///
    /// # Panics
    /// Then.
    pub fn absent(&self, place: &str, text: &str) {
        for form in self.forms() {
            assert!(!text.contains(&form), "{form} stands in {place}");
        }
    }

    /// Fails when one of them stands in a log file of the services or in what they export.
    ///
    /// # Panics
    /// Then.
    pub fn absent_from_telemetry(&self, services: &[&Running]) {
        for entry in std::fs::read_dir(process::logs()).expect("logs").flatten() {
            let log = std::fs::read(entry.path()).unwrap_or_default();
            self.absent(
                &entry.path().display().to_string(),
                &String::from_utf8_lossy(&log),
            );
        }
        for service in services {
            self.absent(
                &format!("the metrics of {:?}", service.part),
                &service.metrics(),
            );
        }
    }

    /// Fails when one of them stands in any table of ClickHouse.
    ///
    /// # Panics
    /// Then.
    pub fn absent_from_clickhouse(&self, installation: &Installation) {
        let sql = "SELECT name FROM system.tables WHERE database = 'millrace' AND engine LIKE '%MergeTree%'";
        let tables = clickhouse(installation, sql);
        assert!(tables.len() >= 4, "{tables:?}");
        for table in tables {
            let name = table["name"].as_str().expect("a name");
            for form in self.forms() {
                let sql = format!(
                    "SELECT count() FROM millrace.`{name}` WHERE positionCaseInsensitive(toString(tuple(*)), '{form}') > 0"
                );
                assert_eq!(number(installation, &sql), 0, "{form} stands in {name}");
            }
        }
    }

    /// Fails when one of them stands in a table of PostgreSQL, as text or as bytes.
    ///
    /// # Panics
    /// Then.
    pub fn absent_from_postgres(&self, installation: &Installation) {
        let postgres = installation.postgres();
        let sql = "SELECT table_name::text FROM information_schema.tables \
                   WHERE table_schema = 'public' AND table_type = 'BASE TABLE'";
        let tables = block_on(postgres.query(sql, &[])).expect("tables");
        assert!(tables.len() >= 15, "{}", tables.len());
        for table in tables {
            let name: String = table.get(0);
            if RAW_TABLES.contains(&name.as_str()) {
                continue;
            }
            for form in self.forms() {
                let sql = format!(
                    "SELECT count(*) FROM \"{name}\" t WHERE strpos(t::text, $1) > 0 OR strpos(t::text, $2) > 0"
                );
                let bytes = hex::encode(&form);
                let row = block_on(postgres.query_one(sql.as_str(), &[&form, &bytes]));
                let count: i64 = row.expect("a count").get(0);
                assert_eq!(count, 0, "{form} stands in {name}");
            }
        }
    }

    /// Waits until none of them stands in Redis any more, in a stream or anywhere else.
    ///
    /// # Panics
    /// When one stays.
    pub fn gone_from_redis(&self, installation: &Installation) {
        until("Redis holds none of it", || {
            let held = block_on(everything(installation));
            let forms = self.forms();
            match forms
                .iter()
                .find(|form| held.iter().any(|(_, text)| text.contains(*form)))
            {
                None => Ok(()),
                Some(form) => {
                    let of = held.iter().find(|(_, text)| text.contains(form));
                    Err((form.clone(), of.map(|(key, _)| key.clone())))
                }
            }
        });
    }
}

/// Every key of Redis with its value as text, bodies unpacked.
async fn everything(installation: &Installation) -> Vec<(String, String)> {
    let mut redis = installation.redis_connection().await;
    let keys: Vec<String> = redis.keys("*").await.expect("keys");
    let mut held = Vec::new();
    for key in keys {
        let kind: String = redis::cmd("TYPE")
            .arg(&key)
            .query_async(&mut redis)
            .await
            .expect("a type");
        let command = match kind.as_str() {
            "stream" => redis::cmd("XRANGE").arg(&key).arg("-").arg("+").to_owned(),
            "hash" => redis::cmd("HGETALL").arg(&key).to_owned(),
            "string" => redis::cmd("GET").arg(&key).to_owned(),
            "zset" => redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1).to_owned(),
            "set" => redis::cmd("SMEMBERS").arg(&key).to_owned(),
            _ => redis::cmd("LRANGE").arg(&key).arg(0).arg(-1).to_owned(),
        };
        let value: redis::Value = command.query_async(&mut redis).await.expect("a value");
        let mut text = key.clone();
        plain(&value, &mut text);
        held.push((key, text));
    }
    held
}

/// The text of a value; what is packed is unpacked.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an answer of Redis has dozens of forms, of which these hold text"
)]
fn plain(value: &redis::Value, out: &mut String) {
    use millrace_shared::inflate::{Encoding, inflate};
    match value {
        redis::Value::BulkString(bytes) => {
            out.push_str(&String::from_utf8_lossy(bytes));
            for encoding in [Encoding::Lz4, Encoding::Gzip, Encoding::Zstd] {
                if let Ok(bytes) = inflate(encoding, bytes) {
                    out.push_str(&String::from_utf8_lossy(&bytes));
                }
            }
        }
        redis::Value::SimpleString(text) => out.push_str(text),
        redis::Value::Array(values) => values.iter().for_each(|value| plain(value, out)),
        redis::Value::Map(pairs) => pairs.iter().for_each(|(key, value)| {
            plain(key, out);
            plain(value, out);
        }),
        _ => {}
    }
}

/// With the digit that makes the sum of Luhn's algorithm come out.
fn with_check_digit(mut digits: Vec<u32>) -> Vec<u32> {
    let doubled = |digit: u32| {
        if digit * 2 > 9 {
            digit * 2 - 9
        } else {
            digit * 2
        }
    };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| if at % 2 == 0 { doubled(*digit) } else { *digit })
        .sum();
    digits.push((10 - sum % 10) % 10);
    digits
}

fn groups_of_four(digits: &[u32]) -> String {
    let group = |group: &[u32]| group.iter().map(u32::to_string).collect::<String>();
    digits.chunks(4).map(group).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_has_its_check_digit() {
        let digits = vec![4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
        assert_eq!(
            groups_of_four(&with_check_digit(digits)),
            "4111 1111 1111 1111"
        );
    }

    #[test]
    fn the_escaped_sentence_is_the_sentence() {
        let canaries = Canaries::new(Vec::new());
        let read: String = serde_json::from_str(&canaries.escaped()).unwrap();
        assert_eq!(read, canaries.sentence());
    }
}
