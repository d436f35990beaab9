//! What each target begins with: good inputs of every kind, and edges of what is good. From these
//! and the inputs that were found, mutations are made.

use crate::targets::body::{NOW, ORG};
use flate2::Compression;
use flate2::write::GzEncoder;
use millrace_shared::Signal;
use millrace_shared::entry::Meta;
use millrace_shared::inflate::{Encoding, pack};
use millrace_shared::secret::Secret;
use millrace_shared::signature::{sign_body, sign_webhook};
use millrace_shared::wire::BodyFormat;
use std::io::Write as _;

fn of(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn secret_key() -> Secret {
    Secret::parse("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").expect("a secret")
}

/// Signature headers.
#[must_use]
pub fn signature() -> Vec<Vec<u8>> {
    let body = sign_body(&secret_key(), b"{}");
    let webhook = sign_webhook(&secret_key(), "msg_1", 1_790_000_000, b"{}");
    let mut seeds = of(&[
        "",
        "sha256=",
        "sha256=00",
        "v1,",
        "msg_1\n1790000000\nv1,AAAA",
        "a\n-1\nv2,x v1,y",
    ]);
    seeds.push(body.clone().into_bytes());
    seeds.push(body.to_uppercase().into_bytes());
    seeds.push(format!("msg_1\n1790000000\n{webhook}").into_bytes());
    seeds.push(format!("msg_1\n+1790000000\nv1a,x {webhook} {webhook}").into_bytes());
    seeds
}

/// Secrets and master keys.
#[must_use]
pub fn secret() -> Vec<Vec<u8>> {
    let mut seeds = of(&[
        "",
        "whsec_",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    ]);
    seeds.push(vec![7; 60]);
    seeds
}

/// Batch ids.
#[must_use]
pub fn batch_id() -> Vec<Vec<u8>> {
    use millrace_shared::ids::{BatchId, BatchIds, ShardId, StreamId};
    let id = BatchId {
        shard: ShardId {
            signal: Signal::Logs,
            shard: 3,
        },
        entry: StreamId {
            ms: 1_790_000_000_000,
            seq: 0,
        },
    };
    let ours = BatchIds::new([7; 32]).text(uuid::Uuid::from_u128(1), id);
    let mut seeds = of(&[
        "",
        "logs-0-1-1-0000000000000000",
        "rum-65535-ffffffffffffffff-0-0",
        "logs--1-0-0-0",
    ]);
    seeds.push(ours.into_bytes());
    seeds
}

fn plain() -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        b"{\"logs\":[{\"service\":\"a\",\"message\":\"b\"}]}".to_vec(),
        b"the same words again and again ".repeat(40),
        (0..=255).collect(),
    ]
}

/// gzip members.
#[must_use]
pub fn gzip() -> Vec<Vec<u8>> {
    let pack = |bytes: &[u8], level| {
        let mut encoder = GzEncoder::new(Vec::new(), level);
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    };
    let mut seeds = Vec::new();
    for bytes in plain() {
        seeds.push(pack(&bytes, Compression::none()));
        seeds.push(pack(&bytes, Compression::best()));
    }
    seeds.push(pack(b"in two ", Compression::best()).repeat(2));
    seeds.push(pack(&vec![0; 100_000], Compression::best()));
    seeds
}

/// Zstandard frames.
#[must_use]
pub fn zstd() -> Vec<Vec<u8>> {
    let pack = |bytes: &[u8], level| zstd::encode_all(bytes, level).expect("memory");
    let mut seeds = Vec::new();
    for bytes in plain() {
        seeds.push(pack(&bytes, 1));
        seeds.push(pack(&bytes, 19));
    }
    seeds.push(pack(b"in two ", 1).repeat(2));
    seeds.push(pack(&vec![0; 100_000], 1));
    seeds.push(b"\x50\x2a\x4d\x18\x04\0\0\0skip".to_vec());
    seeds
}

/// LZ4 blocks behind their length.
#[must_use]
pub fn lz4() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = plain().iter().map(|bytes| pack(bytes)).collect();
    seeds.push(vec![255; 8]);
    seeds
}

/// JSON texts.
#[must_use]
pub fn json() -> Vec<Vec<u8>> {
    of(&[
        "",
        "{}",
        "[]",
        " [ 1 , -0.5e+3, true,false , null,\"\" ] ",
        r#"{"a":{"b":[{}]},"c":"\u00e9\n\/\ud83d\ude00"}"#,
        r#"["ada\u0040example.com",{"\u006bey":"a\\b\"c"}]"#,
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        "[1e400,-1e-400,123456789012345678901234567890,0.1]",
        "\"\\ud800\"",
    ])
}

/// Times.
#[must_use]
pub fn time() -> Vec<Vec<u8>> {
    of(&[
        "2023-11-14T22:13:20.123Z",
        "2023-11-14 22:13:20,5",
        "2023-11-14T23:13:20.123456789+01:00",
        "2023-11-14T23:13:20+0100",
        "2024-02-29",
        "1700000000.123",
        "1700000000123",
        "1700000000123000000",
        "-1.5e9",
        "9999-12-31T23:59:59Z",
    ])
}

/// Replaces the word NOW by seconds at which bodies are received.
fn bodies(texts: &[&str]) -> Vec<Vec<u8>> {
    let now = (NOW / 1_000_000_000).to_string();
    let texts = texts.iter().map(|text| text.replace("NOW", &now));
    texts.map(String::into_bytes).collect()
}

/// Bodies of logs.
#[must_use]
pub fn logs() -> Vec<Vec<u8>> {
    bodies(&[
        r#"{"logs":[{"service":"a","message":"b"}]}"#,
        r#"{"resource":{"service_name":"shop","host":"h","k":["x"]},"logs":[{"timestamp":NOW,"level":"WARN","message":"ada@example.com paid with 4111 1111 1111 1111","attributes":{"http":{"status":200,"tags":["a","\u0062"]},"password":"x"},"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"s"}]}"#,
        r#"{"logs":[{"service":"a","message":7},{"service":"a","message":"c","extra":[{"a":"b\n536-22-8745"}],"n":4111111111111111}]}"#,
        "{\"service\":\"a\",\"message\":\"one\"}\n{\"service\":\"a\"\n\n{\"service\":\"a\",\"message\":\"\\ud83d\\ude00 http://evil.example/payload\",\"host\":\"203.0.113.9\"}\n",
    ])
}

/// Bodies of metrics.
#[must_use]
pub fn metrics() -> Vec<Vec<u8>> {
    bodies(&[
        r#"{"metrics":[{"name":"m","value":1.5}]}"#,
        r#"{"metrics":[{"timestamp":NOW,"name":"http.requests","value":-1e300,"type":"counter","labels":{"route":"/a","mail":"ada@example.com"},"unit":"ms","service":"s","host":"h"}],"resource":{"service_name":"s"}}"#,
        r#"{"metrics":[{"name":"m","value":1e400},{"name":"n","value":0,"x":true,"y":[1],"z":{"a":null}}]}"#,
        "{\"name\":\"m\",\"value\":1}\n{\"name\":\"\",\"value\":1}\n",
    ])
}

/// Bodies of spans.
#[must_use]
pub fn traces() -> Vec<Vec<u8>> {
    bodies(&[
        r#"{"traces":[{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","name":"n","start_time":NOW,"end_time":NOW}],"resource":{"service_name":"s"}}"#,
        r#"{"traces":[{"trace_id":"0AF7651916CD43DD8448EB211C80319C","span_id":"b7ad6b7169203331","parent_span_id":"0000000000000000","name":"GET /u/ada@example.com","kind":"server","start_time":NOW,"end_time":NOW,"status":"error","attributes":{"db":{"q":"x"}},"events":[{"name":"e","timestamp":NOW,"attributes":{"a":1}}],"links":[{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","attributes":{"a":[1]}}]}],"resource":{}}"#,
        "{\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\",\"span_id\":\"b7ad6b7169203331\",\"name\":\"n\",\"start_time\":NOW,\"end_time\":NOW}\n",
    ])
}

/// Bodies of browser events.
#[must_use]
pub fn rum() -> Vec<Vec<u8>> {
    bodies(&[
        r#"{"events":[{"session_id":"s","event_type":"pageview","page_url":"https://a.example/?mail=ada%40example.com"}]}"#,
        r#"{"events":[{"timestamp":NOW,"session_id":"s","user_id":"u","event_type":"error","page_url":"https://a.example/","referrer":"","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36","performance":{"lcp":1.5,"cls":0},"error":{"message":"m","stack":"s","type":"t"},"custom_attributes":{"a":{"b":"c"}}}]}"#,
        "{\"session_id\":\"s\",\"event_type\":\"click\",\"page_url\":\"u\"}\n",
    ])
}

/// Bodies of audit events.
#[must_use]
pub fn audit() -> Vec<Vec<u8>> {
    bodies(&[
        r#"{"events":[{"event_type":"AUTHENTICATION","action":"login","outcome":"FAILURE"}]}"#,
        r#"{"events":[{"timestamp":NOW,"event_type":"DATA_PRIVACY","action":"export","outcome":"SUCCESS","severity":"HIGH","service":"s","operation":"o","actor":{"id":"a","email":"ada@example.com","name":"Ada","type":"user"},"targets":[{"id":"t","type":"x","name":"n"}],"ip":"203.0.113.9","user_agent":"curl/8","country":"DE","session_id":"s","request_id":"r","message":"m","metadata":{"k":["v"]}}],"resource":{"service_name":"s"}}"#,
        r#"{"events":[{"event_type":"A","action":"a","outcome":"BLOCKED","ip":"unknown","metadata":{"evil":"evil.example"}}]}"#,
        "{\"event_type\":\"A\",\"action\":\"a\",\"outcome\":\"SUSPICIOUS\"}\n",
    ])
}

/// Descriptions of entries.
#[must_use]
pub fn meta() -> Vec<Vec<u8>> {
    let mut meta = Meta::new(ORG, "key", NOW, (BodyFormat::Ndjson, Encoding::Zstd));
    let smallest = meta.to_text();
    (meta.accepted, meta.rejected, meta.rejected_at) = (2, 1, vec![1]);
    (meta.request_id, meta.user_agent) = ("r".to_owned(), Some("ua".to_owned()));
    (meta.ip, meta.untrusted, meta.replay_of) = ("10.0.0.1".parse().ok(), true, Some(7));
    vec![
        smallest.into_bytes(),
        meta.to_text().into_bytes(),
        b"{\"v\":2}".to_vec(),
        b"{}".to_vec(),
    ]
}

/// Whole entries.
#[must_use]
pub fn entry() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, bodies) in (0u8..).zip([logs(), metrics(), traces(), rum(), audit()]) {
        for body in bodies {
            let mut meta = Meta::new(ORG, "key", NOW, (BodyFormat::Json, Encoding::Identity));
            meta.accepted = 1;
            seeds.push([&[number], meta.to_text().as_bytes(), &[0], &body].concat());
            let meta = meta
                .to_text()
                .replace("identity", "lz4")
                .replace("\"json\"", "\"ndjson\"");
            seeds.push([&[number], meta.as_bytes(), &[0], &pack(&body)].concat());
        }
    }
    seeds
}

/// Text with something in it for every detector.
#[must_use]
pub fn text() -> Vec<Vec<u8>> {
    of(&[
        "user ada@example.com paid with 4111 1111 1111 1111 ssn 536-22-8745 from 203.0.113.9",
        "GET https://evil.example/a?token=abc&next=%2Fu%2Fada%40example.com HTTP/1.1",
        "hxxp://evil[.]example/payload and 198[.]51[.]100[.]7 and evil(dot)example",
        "d347825783cec72a2d9639621719d71ee708439b83d6b596ea1c1657de898a77 44d88612fea8a8f36de82e1278abb02f",
        "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln password=hunter2 \"api_key\": \"x\"",
        "call +1 (415) 555-2671 or 020 7946 0958, IBAN DE89 3704 0044 0532 0130 00",
        "/home/alice/.ssh/id_rsa C:\\Users\\bob\\x 00:1a:2b:3c:4d:5e 2001:db8::1 fe80::1%eth0",
        "user.email\nada@example.com",
        "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----",
        "[EMAIL] *** email:0123456789abcdef01234567 \u{1f600}@\u{e9}.example",
    ])
}

/// Feeds with columns.
#[must_use]
pub fn indicators_csv() -> Vec<Vec<u8>> {
    of(&[
        "value,type,confidence,severity,threat,tags,first_seen,expires_at\n203.0.113.9,ipv4,90,high,Bot,\"a,b\",2024-01-01,2030-01-01T00:00:00Z\nevil.example,domain,50%,low,,,,\n",
        "# first_seen_utc,dst_ip,port\n\"2024-01-01 00:00:00\",\"198.51.100.7\",\"443\"\n# end\n",
        "\u{feff}ioc_value,ioc_type\nhxxp://evil[.]example/a,url\n44d88612fea8a8f36de82e1278abb02f,md5\n10.0.0.0/8,cidr\n",
        "value\n\"unclosed\n",
    ])
}

/// Plain lists.
#[must_use]
pub fn indicators_plain() -> Vec<Vec<u8>> {
    of(&[
        "# a list\n203.0.113.9\n198.51.100.0/24 # a network\nevil[.]example\nhttp://evil.example/payload\n; comment\n44d88612fea8a8f36de82e1278abb02f\nada@evil.example\n",
        "2001:db8::/32\r\nd347825783cec72a2d9639621719d71ee708439b83d6b596ea1c1657de898a77\r\nnot an indicator\r\n",
    ])
}

/// Hosts files.
#[must_use]
pub fn indicators_hosts() -> Vec<Vec<u8>> {
    of(&[
        include_str!("../../detection/src/indicators/fixtures/hosts.txt"),
        "0.0.0.0 bad.example.com\n:: worse.example.net#x\n127.0.0.1\n",
    ])
}

/// Feeds in every format, to be told by their content.
#[must_use]
pub fn indicators_feed() -> Vec<Vec<u8>> {
    of(&[
        include_str!("../../detection/src/indicators/fixtures/threatfox.csv"),
        include_str!("../../detection/src/indicators/fixtures/malwarebazaar.csv"),
        include_str!("../../detection/src/indicators/fixtures/hosts.txt"),
        include_str!("../../detection/src/indicators/fixtures/bundle.json"),
        include_str!("../../detection/src/indicators/fixtures/misp_event.json"),
        include_str!("../../detection/src/indicators/fixtures/warninglist.json"),
        "{\"objects\":[{\"type\":\"indicator\",\"pattern\":\"[url:value = 'http://a.example.com']\"}]}",
        "{\"response\":{\"Attribute\":[{\"type\":\"sha1\",\"value\":\"x\",\"to_ids\":\"1\"}]}}",
        "{\"5d0092c5-5f74-4287-9642-33f4c354e56d\":{\"timestamp\":\"1\"}}",
        "203.0.113.9:80\n// x\nevil.example.com\n",
    ])
}

/// Patterns of STIX.
#[must_use]
pub fn stix_pattern() -> Vec<Vec<u8>> {
    of(&[
        "[ipv4-addr:value = '203.0.113.7/24' OR ipv6-addr:value IN ('2001:db8::1','2001:db8::/32')]",
        "([domain-name:value = 'a.example.com'] AND [url:value LIKE 'http://a.example.com/_']) OR [email-addr:value = 'e@example.com']",
        "[file:hashes.'SHA-256' = 'd347825783cec72a2d9639621719d71ee708439b83d6b596ea1c1657de898a77' AND (file:name = 'it\\'s' OR file:size > 10)]",
        "[network-traffic:dst_ref.value = 'evil.example.com' AND network-traffic:dst_port NOT = 443] FOLLOWEDBY [a:b[*].c EXISTS]",
        "[x:y = t'2024-01-01T00:00:00Z'] REPEATS 5 TIMES WITHIN 1.5 SECONDS",
        "[artifact:hashes.MD5 == h'44d88612fea8a8f36de82e1278abb02f'] START t'x' STOP t'y'",
    ])
}

/// Warning lists of MISP.
#[must_use]
pub fn allow_list() -> Vec<Vec<u8>> {
    of(&[
        include_str!("../../detection/src/indicators/fixtures/warninglist.json"),
        "{\"type\":\"hostname\",\"list\":[\".Example.com\",\"*.example.org\"],\"matching_attributes\":[\"domain\",\"url\"]}",
        "{\"type\":\"string\",\"list\":[\"hxxp://a.example.com\",\"8.8.8.8\",\"44d88612fea8a8f36de82e1278abb02f\"]}",
        "{\"type\":\"substring\",\"list\":[\"/download/\",\"x\"],\"version\":\"1\"}",
        "{\"type\":\"regex\",\"list\":[\"/^a(b|c)*d/i\",\"[0-9]+$\"]}",
    ])
}

/// Rules.
#[must_use]
pub fn rules() -> Vec<Vec<u8>> {
    let mut seeds = of(&[
        r#"{"id":"r","name":"R","version":1,"severity":"high","enabled":true,"message":"{service}: {message}","scope":["logs"],"selection":{"all":[{"field":"message","op":"contains","value":"x"}]}}"#,
        r#"{"id":"r","name":"R","version":2,"severity":"low","enabled":true,"scope":["audit"],"selection":{"any":[{"field":"actor.email","op":"regex","value":"^[a-z]+@"},{"not":{"all":[{"field":"n","op":"gte","value":5}]}}]},"window":{"kind":"count","seconds":60,"threshold":5,"group_by":["ip"]}}"#,
        r#"{"id":"r","name":"R","version":1,"severity":"high","enabled":true,"scope":["logs"],"selection":{"all":[{"field":"build","op":"in","value":["1","2"]}]},"tests":[{"name":"t","events":[{"service":"s","message":"m"}],"expect":"no_match"}]}"#,
    ]);
    for text in [
        include_str!("../../detection/src/builtin/activity.json"),
        include_str!("../../detection/src/builtin/directory.json"),
        include_str!("../../detection/src/builtin/threats.json"),
    ] {
        let all: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let rules = all.as_array().cloned().unwrap_or_default();
        seeds.extend(rules.iter().map(|rule| rule.to_string().into_bytes()));
    }
    seeds
}

/// Sigma: rules, a correlation, a filter, a pipeline, an archive, aliases that would grow.
#[must_use]
pub fn sigma() -> Vec<Vec<u8>> {
    let mut seeds = of(&[
        include_str!("../../detection/src/sigma/fixtures/rules.yml"),
        "title: A\nname: a\nlogsource: {product: p}\ndetection:\n  s: {f|contains|all: [x, 'y*'], g|re|i: '^a.b'}\n  condition: not 1 of s* or s\n---\ntitle: C\ncorrelation:\n  type: value_count\n  rules: [a]\n  group-by: [u]\n  timespan: 5m\n  condition: {field: h, gte: 2}\n",
        "title: A\nlogsource: {category: process_creation, product: windows}\ndetection:\n  s:\n    CommandLine|base64offset|contains: ['x', 5]\n    Image: null\n  k: [one, two]\n  condition: all of them\nlevel: high\ntags: [attack.t1059.001]\n---\ntitle: F\nlogsource: {product: windows}\nfilter: {rules: any, s: {User|expand: '%Admins%'}, condition: not s}\n",
        "name: p\npriority: 1\ntransformations:\n  - {id: m, type: field_name_mapping, mapping: {f: [a, b]}}\n  - {id: v, type: value_placeholders}\nvars: {Admins: [root]}\n",
        "a: &a [x, x]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b, *b]\n",
        "PK\u{5}\u{6}",
    ]);
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    if packed.write_all(b"title: A\n").is_ok() {
        seeds.extend(packed.finish().ok());
    }
    seeds
}

/// User agents.
#[must_use]
pub fn user_agent() -> Vec<Vec<u8>> {
    of(&[
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Opera/9.80 (Windows NT 6.1; U; ja) Presto/2.10.229 Version/11.62",
        "DoCoMo/2.0 N05A(c100;TB;W24H16)",
        "curl/8.5.0",
        "() { :;}; echo x",
        "",
    ])
}

/// Parameters.
#[must_use]
pub fn query() -> Vec<Vec<u8>> {
    of(&[
        "",
        "now-15m\nnow",
        "2026-09-01T00:00:00Z\n2026-09-21T00:00:00Z",
        "code=~\"5..\"",
        "path!=\"a\\\"b\"",
        "5m",
        "1000",
        "GET /api?id=42 Gr\u{f6}\u{df}e",
        "a,b, c,",
        "[\"a\",1,true,null]",
        "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ])
}
