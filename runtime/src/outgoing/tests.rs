//! Every form in which an address can lead inside is refused with its reason; what is permitted
//! reaches a real receiver, under the limits.

use super::{Answer, Call, Lookup, Method, Outgoing, OutgoingError, Refusal, TIMEOUT};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use ipnet::IpNet;
use reqwest::header::{HeaderMap, LOCATION};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Answers `to-ADDRESS.…` with the address (dashes for dots and colons), `mixed.…` with a public and
/// a private one, `none.…` with none; counts.
#[derive(Default)]
struct Zone {
    asked: AtomicUsize,
}

impl Lookup for Zone {
    fn addresses<'l>(&'l self, name: &'l str) -> BoxFuture<'l, io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let first = name.split('.').next().unwrap_or_default().to_owned();
        Box::pin(async move {
            let parse = |text: String| text.parse().map_err(io::Error::other);
            match first.as_str() {
                "mixed" => Ok(vec![
                    "8.8.8.8".parse().unwrap(),
                    "10.0.0.1".parse().unwrap(),
                ]),
                "none" => Ok(Vec::new()),
                first if first.starts_with("to4-") => {
                    Ok(vec![parse(first[4..].replace('-', "."))?])
                }
                first if first.starts_with("to6-") => {
                    Ok(vec![parse(first[4..].replace('-', ":"))?])
                }
                _ => Err(io::Error::other("no such name")),
            }
        })
    }
}

fn networks(list: &[&str]) -> Vec<IpNet> {
    list.iter()
        .map(|network| network.parse().unwrap())
        .collect()
}

fn client(allowed: &[&str]) -> Outgoing {
    Outgoing::new(networks(allowed), Arc::new(Zone::default())).unwrap()
}

fn call(url: &str) -> Call<'_> {
    Call {
        method: Method::POST,
        url,
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
        answer_max: 1_000,
        within: TIMEOUT,
    }
}

/// Forms, with what is wrong with them. Names under `example.net` are answered by [`Zone`].
const REFUSED: &[(&str, Refusal)] = &[
    // No address.
    ("", Refusal::Unreadable),
    ("example.net", Refusal::Scheme),
    ("https", Refusal::Scheme),
    ("https:", Refusal::Odd),
    ("https://", Refusal::Odd),
    ("https:///", Refusal::Odd),
    ("https:///127.0.0.1/", Refusal::Odd),
    ("https:example.net", Refusal::Odd),
    ("https:/example.net", Refusal::Odd),
    ("https://?x", Refusal::Odd),
    ("https://:443/", Refusal::Unreadable),
    ("https://example..net/", Refusal::Unreadable),
    ("https://.example.net/", Refusal::Unreadable),
    ("https://-example.net/", Refusal::Unreadable),
    ("https://exa$mple.net/", Refusal::Unreadable),
    ("https://[::1/", Refusal::Unreadable),
    ("https://[::g]/", Refusal::Unreadable),
    ("https://[fe80::1%25eth0]/", Refusal::Odd),
    ("https://example.net:99999/", Refusal::Unreadable),
    ("https://example.net:x/", Refusal::Unreadable),
    ("https://example.net:0/", Refusal::Port),
    // Schemes.
    ("file:///etc/passwd", Refusal::Scheme),
    ("ftp://example.net/", Refusal::Scheme),
    ("gopher://127.0.0.1:6379/_FLUSHALL", Refusal::Scheme),
    ("dict://127.0.0.1:11211/stat", Refusal::Scheme),
    ("ldap://127.0.0.1/", Refusal::Scheme),
    ("redis://127.0.0.1:6379/", Refusal::Scheme),
    ("unix:///var/run/docker.sock", Refusal::Scheme),
    ("data:text/plain,x", Refusal::Scheme),
    ("javascript:alert(1)", Refusal::Scheme),
    ("jar:https://example.net!/", Refusal::Scheme),
    ("ws://example.net/", Refusal::Scheme),
    ("//example.net/", Refusal::Scheme),
    ("http://8.8.8.8/", Refusal::PlainHttp),
    ("http://to4-8-8-8-8.example.net/", Refusal::PlainHttp),
    ("http://8.8.8.8:443/", Refusal::PlainHttp),
    // Credentials.
    ("https://user@example.net/", Refusal::Credentials),
    ("https://user:password@example.net/", Refusal::Credentials),
    ("https://example.net@127.0.0.1/", Refusal::Credentials),
    ("https://@example.net/", Refusal::Credentials),
    ("https://:@example.net/", Refusal::Credentials),
    ("https://127.0.0.1:443@example.net/", Refusal::Credentials),
    // Written to be read in two ways.
    ("https://example.net\\@127.0.0.1/", Refusal::Odd),
    ("https:\\\\127.0.0.1\\", Refusal::Odd),
    ("https://exam\tple.net/", Refusal::Odd),
    ("https://example.net/\r\nHost: 127.0.0.1", Refusal::Odd),
    (" https://example.net/", Refusal::Odd),
    ("https://example.net /", Refusal::Odd),
    ("https://example.net/\u{0}", Refusal::Odd),
    ("https://%31%32%37.0.0.1/", Refusal::Odd),
    ("https://127%2e0%2e0%2e1/", Refusal::Odd),
    ("https://local%68ost/", Refusal::Odd),
    ("https://example.net%00.evil.example/", Refusal::Odd),
    ("https://１２７.0.0.1/", Refusal::Odd),
    ("https://127。0。0。1/", Refusal::Odd),
    ("https://ⓛocalhost/", Refusal::Odd),
    ("https://ʟocalhost/", Refusal::Odd),
    ("https://exam\u{ad}ple.net/", Refusal::Odd),
    ("https://münchen.example/", Refusal::Odd),
    ("https://xn--/", Refusal::Unreadable),
    // IPv4 in other forms.
    ("https://2130706433/", Refusal::OddAddress),
    ("https://0x7f000001/", Refusal::OddAddress),
    ("https://017700000001/", Refusal::OddAddress),
    ("https://0x7f.0.0.1/", Refusal::OddAddress),
    ("https://0177.0.0.1/", Refusal::OddAddress),
    ("https://127.1/", Refusal::OddAddress),
    ("https://127.0.1/", Refusal::OddAddress),
    ("https://127.000.000.001/", Refusal::OddAddress),
    ("https://0/", Refusal::OddAddress),
    ("https://0x0/", Refusal::OddAddress),
    ("https://10.1/", Refusal::OddAddress),
    ("https://0xa9fea9fe/", Refusal::OddAddress),
    ("https://2852039166/", Refusal::OddAddress),
    ("https://169.254.43518/", Refusal::OddAddress),
    ("https://127.0.0.1./", Refusal::OddAddress),
    ("https://1.2.3.4.5/", Refusal::Unreadable),
    ("https://256.256.256.256/", Refusal::Unreadable),
    ("https://4294967296/", Refusal::Unreadable),
    // Names.
    ("https://localhost/", Refusal::LocalName),
    ("https://LOCALHOST/", Refusal::LocalName),
    ("https://foo.localhost/", Refusal::LocalName),
    ("https://localhost.localdomain/", Refusal::LocalName),
    ("https://printer.local/", Refusal::LocalName),
    ("https://vault.internal/", Refusal::LocalName),
    (
        "https://metadata.google.internal/computeMetadata/v1/",
        Refusal::LocalName,
    ),
    ("https://host.docker.internal/", Refusal::LocalName),
    (
        "https://kubernetes.default.svc.cluster.local/",
        Refusal::LocalName,
    ),
    ("https://redis/", Refusal::LocalName),
    ("https://router.lan/", Refusal::LocalName),
    ("https://nas.home.arpa/", Refusal::LocalName),
    ("https://wiki.corp/", Refusal::LocalName),
    ("https://redis.service.consul/", Refusal::LocalName),
    ("https://1.0.0.127.in-addr.arpa/", Refusal::LocalName),
    ("https://localhost./", Refusal::TrailingDot),
    ("https://example.net./", Refusal::TrailingDot),
    // Ports.
    ("https://8.8.8.8:22/", Refusal::Port),
    ("https://8.8.8.8:6379/", Refusal::Port),
    ("https://8.8.8.8:80/", Refusal::Port),
    ("https://to4-8-8-8-8.example.net:9200/", Refusal::Port),
    // IPv4.
    ("https://0.0.0.0/", Refusal::Unspecified),
    ("https://0.1.2.3/", Refusal::Unspecified),
    ("https://127.0.0.1/", Refusal::Loopback),
    ("http://127.0.0.1:8123/", Refusal::Loopback),
    ("https://127.255.255.254/", Refusal::Loopback),
    ("https://10.0.0.1/", Refusal::Private),
    ("https://10.255.255.255/", Refusal::Private),
    ("https://172.16.0.1/", Refusal::Private),
    ("https://172.31.255.255/", Refusal::Private),
    ("https://192.168.1.1/", Refusal::Private),
    ("https://100.64.0.1/", Refusal::SharedSpace),
    ("https://100.127.255.254/", Refusal::SharedSpace),
    ("https://169.254.1.1/", Refusal::LinkLocal),
    ("https://192.0.0.1/", Refusal::Reserved),
    ("https://192.0.2.1/", Refusal::Documentation),
    ("https://198.51.100.1/", Refusal::Documentation),
    ("https://203.0.113.1/", Refusal::Documentation),
    ("https://192.31.196.1/", Refusal::Reserved),
    ("https://192.52.193.1/", Refusal::Reserved),
    ("https://192.88.99.1/", Refusal::Reserved),
    ("https://192.175.48.1/", Refusal::Reserved),
    ("https://198.18.0.1/", Refusal::Benchmarking),
    ("https://198.19.255.255/", Refusal::Benchmarking),
    ("https://224.0.0.1/", Refusal::Multicast),
    ("https://239.255.255.250/", Refusal::Multicast),
    ("https://240.0.0.1/", Refusal::Reserved),
    ("https://254.255.255.255/", Refusal::Reserved),
    ("https://255.255.255.255/", Refusal::Broadcast),
    // Metadata.
    (
        "https://169.254.169.254/latest/meta-data/",
        Refusal::Metadata,
    ),
    ("http://169.254.169.254/", Refusal::Metadata),
    ("https://169.254.170.2/", Refusal::Metadata),
    ("https://169.254.170.23/", Refusal::Metadata),
    ("https://100.100.100.200/", Refusal::Metadata),
    ("https://168.63.129.16/", Refusal::Metadata),
    ("https://192.0.0.192/", Refusal::Metadata),
    ("https://[fd00:ec2::254]/", Refusal::Metadata),
    ("https://[fd20:ce::254]/", Refusal::Metadata),
    ("https://[::ffff:169.254.169.254]/", Refusal::Metadata),
    ("https://[::ffff:a9fe:a9fe]/", Refusal::Metadata),
    ("https://[64:ff9b::169.254.169.254]/", Refusal::Metadata),
    ("https://[2002:a9fe:a9fe::]/", Refusal::Metadata),
    ("https://[2001:0:1:2:3:4:5601:5601]/", Refusal::Metadata),
    // IPv6.
    ("https://[::]/", Refusal::Unspecified),
    ("https://[::1]/", Refusal::Loopback),
    ("https://[0:0:0:0:0:0:0:1]/", Refusal::Loopback),
    (
        "https://[0000:0000:0000:0000:0000:0000:0000:0001]/",
        Refusal::Loopback,
    ),
    ("https://[::ffff:127.0.0.1]/", Refusal::Embedded),
    ("https://[::ffff:7f00:1]/", Refusal::Embedded),
    ("https://[::ffff:8.8.8.8]/", Refusal::Embedded),
    ("https://[::127.0.0.1]/", Refusal::Embedded),
    ("https://[::8.8.8.8]/", Refusal::Embedded),
    ("https://[::ffff:0:127.0.0.1]/", Refusal::Embedded),
    ("https://[64:ff9b::127.0.0.1]/", Refusal::Embedded),
    ("https://[64:ff9b::a00:1]/", Refusal::Embedded),
    ("https://[64:ff9b:1::7f00:1]/", Refusal::Embedded),
    ("https://[2002:7f00:1::]/", Refusal::Embedded),
    ("https://[2002:c0a8:101::1]/", Refusal::Embedded),
    (
        "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
        Refusal::Embedded,
    ),
    ("https://[fc00::1]/", Refusal::UniqueLocal),
    ("https://[fd12:3456:789a::1]/", Refusal::UniqueLocal),
    ("https://[fe80::1]/", Refusal::LinkLocal),
    ("https://[febf::1]/", Refusal::LinkLocal),
    ("https://[fec0::1]/", Refusal::UniqueLocal),
    ("https://[ff02::1]/", Refusal::Multicast),
    ("https://[ff0e::1]/", Refusal::Multicast),
    ("https://[2001:db8::1]/", Refusal::Documentation),
    ("https://[3fff::1]/", Refusal::Documentation),
    ("https://[2001:2::1]/", Refusal::Benchmarking),
    ("https://[2001:10::1]/", Refusal::Reserved),
    ("https://[100::1]/", Refusal::Reserved),
    ("https://[5f00::1]/", Refusal::Reserved),
    ("https://[4000::1]/", Refusal::Reserved),
    ("https://[2620:4f:8000::1]/", Refusal::Reserved),
    // Names that lead there.
    ("https://to4-127-0-0-1.example.net/", Refusal::Loopback),
    ("https://to4-10-0-0-1.example.net/", Refusal::Private),
    ("https://to4-192-168-0-1.example.net/", Refusal::Private),
    ("https://to4-100-64-0-1.example.net/", Refusal::SharedSpace),
    ("https://to4-169-254-0-1.example.net/", Refusal::LinkLocal),
    (
        "https://to4-169-254-169-254.example.net/",
        Refusal::Metadata,
    ),
    ("https://to4-0-0-0-0.example.net/", Refusal::Unspecified),
    ("https://to4-224-0-0-1.example.net/", Refusal::Multicast),
    ("https://to6---1.example.net/", Refusal::Loopback),
    ("https://to6---ffff-a00-1.example.net/", Refusal::Embedded),
    ("https://to6-fd00--1.example.net/", Refusal::UniqueLocal),
    ("https://to6-fe80--1.example.net/", Refusal::LinkLocal),
    ("https://to6-64-ff9b--a00-1.example.net/", Refusal::Embedded),
    ("https://mixed.example.net/", Refusal::Private),
];

#[tokio::test]
async fn whatever_leads_inside_is_refused_with_its_reason() {
    assert!(REFUSED.len() >= 120, "{}", REFUSED.len());
    let outgoing = client(&[]);
    let mut wrong = Vec::new();
    for (url, expected) in REFUSED {
        let outcome = outgoing.send(call(url)).await;
        if outcome.as_ref().err() != Some(&OutgoingError::Refused(*expected)) {
            wrong.push(format!("{url:?} should be {expected:?}: {outcome:?}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    let long = format!("https://example.net/{}", "a".repeat(3_000));
    assert_eq!(outgoing.check(&long), Err(Refusal::Unreadable));
}

#[test]
fn the_open_internet_is_not_refused() {
    let outgoing = client(&[]);
    for url in [
        "https://example.net/",
        "HTTPS://Hooks.Example.COM/services/T0/B0/x?y=1#z",
        "https://example.net:8443/a%20b",
        "https://xn--mnchen-3ya.example/",
        "https://under_score.example.net/",
        "https://8.8.8.8/",
        "https://11.0.0.1/",
        "https://100.63.255.255/",
        "https://100.128.0.1/",
        "https://172.15.255.255/",
        "https://172.32.0.1/",
        "https://192.0.1.1/",
        "https://198.17.255.255/",
        "https://198.20.0.1/",
        "https://223.255.255.255/",
        "https://[2606:4700:4700::1111]/",
        "https://[2001:4860:4860::8888]/",
        "https://[2a00:1450:4001::1]:8443/",
    ] {
        assert_eq!(outgoing.check(url), Ok(()), "{url}");
    }
}

/// Hosts and ports of mail servers, whether TLS is used, and what is wrong.
const REFUSED_MAIL: &[(&str, u16, bool, Refusal)] = &[
    ("", 587, true, Refusal::Unreadable),
    ("mail.example.net:587", 587, true, Refusal::Odd),
    ("mail.example.net/x", 587, true, Refusal::Odd),
    ("mail.example.net?x", 587, true, Refusal::Odd),
    ("mail.example.net#x", 587, true, Refusal::Odd),
    ("u@mail.example.net", 587, true, Refusal::Odd),
    ("[::1]", 587, true, Refusal::Odd),
    ("mail.example.net\r\nRCPT", 587, true, Refusal::Odd),
    ("mail.example.net", 0, true, Refusal::MailPort),
    ("mail.example.net.", 587, true, Refusal::TrailingDot),
    ("2130706433", 587, true, Refusal::OddAddress),
    ("8.8.8.8", 587, false, Refusal::PlainMail),
    ("8.8.8.8", 25, true, Refusal::MailPort),
    ("8.8.8.8", 443, true, Refusal::MailPort),
    ("8.8.8.8", 6379, true, Refusal::MailPort),
    ("localhost", 587, true, Refusal::LocalName),
    ("postfix", 587, true, Refusal::LocalName),
    ("127.0.0.1", 587, true, Refusal::Loopback),
    ("::1", 587, true, Refusal::Loopback),
    ("10.0.0.25", 465, true, Refusal::Private),
    ("169.254.169.254", 587, true, Refusal::Metadata),
    ("to4-10-0-0-1.example.net", 587, true, Refusal::Private),
    ("to4-8-8-8-8.example.net", 25, true, Refusal::MailPort),
];

#[tokio::test]
async fn mail_servers_are_judged_by_the_same_rules() {
    let outgoing = client(&[]);
    for (host, port, encrypted, expected) in REFUSED_MAIL {
        let outcome = outgoing.mail_addresses(host, *port, *encrypted).await;
        let refused = outcome.err();
        assert_eq!(
            refused,
            Some(OutgoingError::Refused(*expected)),
            "{host:?} {port}"
        );
    }
    for port in [465, 587, 2525] {
        assert_eq!(outgoing.check_mail("mail.example.net", port, true), Ok(()));
        assert_eq!(
            outgoing.check_mail("2606:4700:4700::1111", port, true),
            Ok(())
        );
    }
    // The operator's own server, on the port between servers and in plain text.
    let outgoing = client(&["127.0.0.0/8"]);
    for host in ["127.0.0.1", "to4-127-0-0-1.example.net"] {
        let found = outgoing.mail_addresses(host, 25, false).await;
        assert_eq!(found, Ok(vec!["127.0.0.1:25".parse().unwrap()]));
    }
    let elsewhere = outgoing.mail_addresses("10.0.0.1", 25, false).await;
    assert_eq!(elsewhere, Err(OutgoingError::Refused(Refusal::Private)));
}

/// A receiver on a loopback address of its own: answers every request with the same bytes.
struct Receiver {
    port: u16,
    received: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    async fn answering(address: &str, answer: Vec<u8>) -> Receiver {
        let listener = TcpListener::bind(address).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = Vec::new();
                let mut chunk = [0; 4096];
                while !request.ends_with(b"\r\n\r\n{}") {
                    match socket.read(&mut chunk).await {
                        Ok(count) if count > 0 => request.extend_from_slice(&chunk[..count]),
                        _ => break,
                    }
                }
                let text = String::from_utf8_lossy(&request).into_owned();
                seen.lock().unwrap().push(text);
                if answer.is_empty() {
                    // Silent, with the connection open.
                    tokio::time::sleep(Duration::from_secs(60)).await;
                }
                let _ = socket.write_all(&answer).await;
            }
        });
        Receiver { port, received }
    }

    async fn new() -> Receiver {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec();
        Receiver::answering("127.0.0.1:0", answer).await
    }

    fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }
}

fn ok(outcome: Result<Answer, OutgoingError>) -> Answer {
    outcome.unwrap()
}

#[tokio::test]
async fn what_the_operator_permits_is_reached_by_address_and_by_name() {
    let receiver = Receiver::new().await;
    let outgoing = client(&["127.0.0.0/8"]);
    for host in [
        "127.0.0.1",
        "to4-127-0-0-1.example.net",
        "to4-127-0-0-1.internal",
    ] {
        let url = format!("http://{host}:{}/hook?x=1", receiver.port);
        let answer = ok(outgoing.send(call(&url)).await);
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_slice()),
            (200, b"ok".as_slice())
        );
        assert!(!answer.cut);
        let request = receiver.received.lock().unwrap().last().cloned().unwrap();
        assert!(
            request.starts_with("POST /hook?x=1 HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.contains(&format!("host: {host}:{}", receiver.port)),
            "{request}"
        );
        assert!(request.contains("user-agent: millrace/"), "{request}");
        assert!(!request.contains("accept-encoding"), "{request}");
    }
    // A network permits itself and nothing else.
    for (url, refusal) in [
        ("https://10.0.0.1/", Refusal::Private),
        ("http://8.8.8.8/", Refusal::PlainHttp),
        ("https://[::ffff:127.0.0.1]/", Refusal::Embedded),
        ("https://to4-8-8-8-8.internal/", Refusal::LocalName),
    ] {
        let outcome = outgoing.send(call(url)).await;
        assert_eq!(
            outcome.err(),
            Some(OutgoingError::Refused(refusal)),
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_metadata_service_is_refused_whatever_is_permitted() {
    let outgoing = client(&["0.0.0.0/0", "::/0"]);
    for url in [
        "http://169.254.169.254/",
        "http://100.100.100.200/",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/",
        "http://to4-169-254-169-254.example.net/",
    ] {
        let outcome = outgoing.send(call(url)).await;
        assert_eq!(
            outcome.err(),
            Some(OutgoingError::Refused(Refusal::Metadata)),
            "{url}"
        );
    }
    // Where the form is permitted, what is inside is judged.
    let outgoing = client(&["64:ff9b::/96"]);
    let inside = "https://[64:ff9b::10.0.0.1]/";
    assert_eq!(outgoing.check(inside), Err(Refusal::Private));
    assert_eq!(outgoing.check("https://[64:ff9b::8.8.8.8]/"), Ok(()));
}

/// Answers with the first of these addresses when first asked, then with the second.
struct Rebinding {
    asked: AtomicUsize,
    answers: [&'static str; 2],
}

impl Lookup for Rebinding {
    fn addresses<'l>(&'l self, _: &'l str) -> BoxFuture<'l, io::Result<Vec<IpAddr>>> {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed).min(1);
        Box::pin(async move { Ok(vec![self.answers[turn].parse().unwrap()]) })
    }
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_the_second_time_leads_nowhere() {
    let good = Receiver::new().await;
    let inside = Receiver::answering(&format!("127.0.0.2:{}", good.port), b"secret".to_vec()).await;
    let zone = Arc::new(Rebinding {
        asked: AtomicUsize::new(0),
        answers: ["127.0.0.1", "127.0.0.2"],
    });
    let lookup: Arc<dyn Lookup> = zone.clone();
    let outgoing = Outgoing::new(networks(&["127.0.0.1/32"]), lookup).unwrap();
    let url = format!("http://rebind.example.net:{}/", good.port);
    assert_eq!(ok(outgoing.send(call(&url)).await).status, 200);
    assert_eq!(
        zone.asked.load(Ordering::Relaxed),
        1,
        "asked once for a request"
    );
    let second = outgoing.send(call(&url)).await;
    assert_eq!(
        second.err(),
        Some(OutgoingError::Refused(Refusal::Loopback))
    );
    assert_eq!((good.count(), inside.count()), (1, 0));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let inside = Receiver::answering("127.0.0.2:0", b"secret".to_vec()).await;
    let to = format!("http://127.0.0.2:{}/", inside.port);
    for status in [301, 302, 303, 307, 308] {
        let answer =
            format!("HTTP/1.1 {status} Moved\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
        let receiver = Receiver::answering("127.0.0.1:0", answer.into_bytes()).await;
        let url = format!("http://127.0.0.1:{}/", receiver.port);
        let answer = ok(client(&["127.0.0.0/8"]).send(call(&url)).await);
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.headers.get(LOCATION).unwrap(), to.as_str());
    }
    assert_eq!(inside.count(), 0);
}

#[tokio::test]
async fn an_answer_is_read_as_far_as_wanted() {
    let mut long = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n".to_vec();
    long.resize(long.len() + 1_000_000, b'x');
    let receiver = Receiver::answering("127.0.0.1:0", long).await;
    let url = format!("http://127.0.0.1:{}/", receiver.port);
    let outgoing = client(&["127.0.0.0/8"]);
    let answer = ok(outgoing.send(call(&url)).await);
    assert_eq!((answer.body.len(), answer.cut), (1_000, true));
    let whole = Call {
        answer_max: 1_000_000,
        ..call(&url)
    };
    let answer = ok(outgoing.send(whole).await);
    assert_eq!((answer.body.len(), answer.cut), (1_000_000, false));
}

#[tokio::test]
async fn silence_ends_with_the_time_given() {
    let receiver = Receiver::answering("127.0.0.1:0", Vec::new()).await;
    let url = format!("http://127.0.0.1:{}/", receiver.port);
    let patient = Call {
        within: Duration::from_millis(300),
        ..call(&url)
    };
    let outcome = client(&["127.0.0.0/8"]).send(patient).await;
    assert_eq!(outcome.err(), Some(OutgoingError::Timeout));
}

#[tokio::test]
async fn what_is_not_there_says_so() {
    let outgoing = client(&["127.0.0.0/8"]);
    // Bound, so that nobody else is given it, and without anybody who listens.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!(
        "http://127.0.0.1:{}/?token=secret",
        closed.local_addr().unwrap().port()
    );
    let error = outgoing.send(call(&url)).await.err().unwrap();
    assert!(matches!(&error, OutgoingError::Unreachable(_)), "{error}");
    assert!(
        error.may_pass() && !error.to_string().contains("secret"),
        "{error}"
    );
    for name in ["none", "unknown"] {
        let url = format!("https://{name}.example.net/");
        let error = outgoing.send(call(&url)).await.err().unwrap();
        assert!(matches!(error, OutgoingError::Lookup(_)), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_taken() {
    let names = vec!["to4-127-0-0-1.example.net".to_owned()];
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(names).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let refused = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        acceptor.accept(socket).await.is_err()
    });
    let url = format!("https://to4-127-0-0-1.example.net:{port}/");
    let error = client(&["127.0.0.0/8"])
        .send(call(&url))
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(refused.await.unwrap(), "nothing was sent");
}

/// Only together with the test below, which sets the environment.
#[tokio::test]
#[ignore = "run by the test below, under another environment"]
async fn under_a_proxy() {
    reaches_a_receiver().await;
}

async fn reaches_a_receiver() {
    let receiver = Receiver::new().await;
    let url = format!("http://127.0.0.1:{}/", receiver.port);
    assert_eq!(
        ok(client(&["127.0.0.0/8"]).send(call(&url)).await).status,
        200
    );
    assert_eq!(receiver.count(), 1);
}

#[test]
fn a_proxy_of_the_environment_is_not_used() {
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "outgoing::tests::under_a_proxy", "--ignored"]);
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ] {
        again.env(name, "http://127.0.0.1:9");
    }
    let output = again.env_remove("NO_PROXY").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}
