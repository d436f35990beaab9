//! A line with a value of which it is known where it stands, and the sentences, formats and
//! languages around it.

use crate::dice::Dice;
use millrace_scrubber::Class;

/// A value with what belongs right before and after it.
pub(crate) struct Payload {
    before: String,
    value: String,
    after: String,
}

impl Payload {
    /// The value alone.
    pub(crate) fn whole(value: String) -> Payload {
        Payload {
            before: String::new(),
            value,
            after: String::new(),
        }
    }

    /// A value that needs its surroundings.
    pub(crate) fn part(before: &str, value: &str, after: &str) -> Payload {
        Payload {
            before: before.to_owned(),
            value: value.to_owned(),
            after: after.to_owned(),
        }
    }

    /// Places it into a carrier of one of the lists.
    pub(crate) fn within(self, dice: &mut Dice, lists: &[&[Carrier]]) -> Line {
        // A space or a quote would have to be escaped in an address: others are as good.
        let (frame, encoding) = loop {
            let list = dice.of(lists);
            let carrier = dice.of(list);
            let plain = [&self.before, &self.value, &self.after];
            let odd = |text: &&String| text.contains([' ', '"', '\\', '\n', '#', '&']);
            if carrier.1 != Encoding::Url || !plain.iter().any(odd) {
                break carrier;
            }
        };
        let (head, tail) = frame.split_once("{}").unwrap();
        let encode = |text: &str| encoding.of(text);
        Line {
            before: format!("{head}{}", encode(&self.before)),
            value: encode(&self.value),
            after: format!("{}{tail}", encode(&self.after)),
        }
    }
}

/// A line, cut where its value begins and ends.
pub(crate) struct Line {
    pub(crate) before: String,
    pub(crate) value: String,
    pub(crate) after: String,
}

impl Line {
    pub(crate) fn text(&self) -> String {
        [&*self.before, &*self.value, &*self.after].concat()
    }

    /// Whether a part of the value that could tell it is left: four letters or digits in a row
    /// that do not stand in the rest of the line as well.
    pub(crate) fn leaks_into(&self, scrubbed: &str) -> bool {
        let parts = self.value.split(|letter: char| !letter.is_alphanumeric());
        let around = [&*self.before, " ", &*self.after].concat();
        // `[SECRET]` is what was written, not what was left of `AGE-SECRET-KEY-1…`.
        let mut scrubbed = scrubbed.to_owned();
        for class in Class::ALL {
            scrubbed = scrubbed.replace(class.placeholder(), "");
        }
        parts
            .filter(|part| part.chars().count() >= 4)
            .any(|part| scrubbed.matches(part).count() > around.matches(part).count())
    }
}

/// How a value is written in its carrier.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it is.
    Plain,
    /// As a part of an address: `%40`, `%2B`.
    Url,
    /// In a JSON string, so many deep.
    Json(u8),
}

impl Encoding {
    fn of(self, text: &str) -> String {
        match self {
            Encoding::Plain => text.to_owned(),
            Encoding::Url => text.replace('@', "%40").replace('+', "%2B"),
            Encoding::Json(0) => text.to_owned(),
            Encoding::Json(depth) => {
                let quoted = serde_json::to_string(text).unwrap();
                let inner = &quoted[1..quoted.len() - 1];
                Encoding::Json(depth - 1).of(inner)
            }
        }
    }
}

/// What stands around a value, `{}`, and how the value is written there.
pub(crate) type Carrier = (&'static str, Encoding);

use Encoding::{Json, Plain, Url};

/// Sentences of many languages.
pub(crate) const SENTENCES: &[Carrier] = &[
    ("{}", Plain),
    ("value {} seen", Plain),
    ("request failed for {} after three attempts", Plain),
    ("[{}] done", Plain),
    ("({}), then nothing", Plain),
    ("\"{}\"", Plain),
    ("Anfrage von {} wurde abgelehnt.", Plain),
    ("Der Kunde „{}“ hat gekündigt", Plain),
    ("échec de l'envoi à {}, nouvel essai", Plain),
    ("« {} » n'existe pas", Plain),
    ("no se pudo enviar a {}; reintentando", Plain),
    ("não foi possível processar {}.", Plain),
    ("impossibile elaborare {}: riprovare", Plain),
    ("verwerking van {} mislukt", Plain),
    ("nie udało się przetworzyć {}!", Plain),
    ("kunde inte behandla {}, försöker igen", Plain),
    ("{} işlenemedi", Plain),
    ("не удалось обработать {}.", Plain),
    ("请联系{}。", Plain),
    ("处理失败：{}，请重试", Plain),
    ("{}を処理できませんでした", Plain),
    ("{} 처리 실패", Plain),
    ("تعذرت معالجة {}.", Plain),
    ("δεν βρέθηκε: {}", Plain),
    ("नहीं मिला: {}", Plain),
];

/// Lines of programs, in the formats they write.
pub(crate) const FORMATS: &[Carrier] = &[
    (
        "2026-11-21 04:05:06,123 INFO worker-7 handled '{}' in 12 ms",
        Plain,
    ),
    (
        "<34>1 2026-11-21T04:05:06.123Z web1 app 4711 - - seen {} again",
        Plain,
    ),
    ("Nov 21 04:05:06 web1 app[4711]: {}: no such user", Plain),
    ("level=info msg=\"handled\" value=\"{}\" took=12ms", Plain),
    ("level=warn value={} retry=3", Plain),
    ("{\"value\":\"{}\",\"count\":3}", Json(1)),
    (
        "{\"msg\":\"seen {} again\",\"level\":\"info\",\"ts\":1700000000}",
        Json(1),
    ),
    ("{\"a\":[1,2,\"{}\"]}", Json(1)),
    (
        "{\"event\":\"{\\\"v\\\":\\\"{}\\\",\\\"n\\\":1}\"}",
        Json(2),
    ),
    (
        "{\"log\":\"{\\\"event\\\":\\\"{\\\\\\\"v\\\\\\\":\\\\\\\"{}\\\\\\\"}\\\"}\"}",
        Json(3),
    ),
    ("{\"text\":\"first line\\n{}\\nlast line\"}", Json(1)),
    ("{\"text\":\"tabbed\\t{}\\tcolumn\"}", Json(1)),
    ("<user><value>{}</value></user>", Plain),
    ("<td>{}</td>", Plain),
    ("value: {}\nother: 1", Plain),
    ("a;b;{};d", Plain),
    ("x,{},y", Plain),
    ("one\t{}\ttwo", Plain),
    ("syntax error near v = '{}' at line 1", Plain),
    (
        "ValueError: invalid value: '{}'\n  File \"app.py\", line 17",
        Plain,
    ),
    (
        "java.lang.IllegalStateException: bad value {}\n\tat com.example.App.main(App.java:17)",
        Plain,
    ),
    ("`{}`", Plain),
    ("|{}|", Plain),
    ("a -> {} -> b", Plain),
];

/// Addresses and forms.
pub(crate) const URLS: &[Carrier] = &[
    ("GET /find?q={}&page=2 HTTP/1.1", Url),
    ("a=1&v={}&b=2", Url),
    ("https://example.com/find?q={}", Url),
    (
        "host1 - - [21/Nov/2026:04:05:06 +0000] \"GET /u?v={} HTTP/1.1\" 200 512",
        Url,
    ),
    ("https://example.com/users/{}/edit", Url),
    ("redirect to /next?to=%2Fx%3Fv%3D{}", Url),
];

/// Where a value is a name.
pub(crate) const KEYS: &[Carrier] = &[
    ("{\"{}\":1}", Json(1)),
    ("{\"a\":{\"{}\":{\"n\":1}}}", Json(1)),
    ("{\"m\":\"{\\\"{}\\\":true}\"}", Json(2)),
    ("seen:{}", Plain),
    ("counts[{}]=3", Plain),
];
