//! How requests are sent, against a peer that answers as it is told: what is repeated, what is
//! counted, and from when a latency counts.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

use millrace_load::body::Encoding;
use millrace_load::generate::{FIRST_SEQ, Recipe};
use millrace_load::record::Record;
use millrace_load::run::{Plan, run};
use millrace_load::send::Sender;
use millrace_load::sign::{How, Scheme};
use millrace_load::target::Target;
use millrace_shared::secret::Secret;
use millrace_shared::signature::{digest, receipt};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What the peer does with a request.
#[derive(Clone, Copy)]
enum Reply {
    /// 202 with a receipt.
    Take,
    /// 202 with the receipt of somebody who does not know the secret.
    Forge,
    /// 503, again at once.
    Busy,
    /// 401, for good.
    Refuse,
    /// Closes the connection without a word.
    HangUp,
    /// 202 after a while.
    Dawdle(Duration),
}

/// A peer; `decide` is given the number of the request, from 0.
struct Peer {
    target: Target,
    requests: Arc<AtomicU32>,
}

async fn peer(decide: fn(u32) -> Reply) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&counter), decide));
        }
    });
    let target = Target::new(&url, "key", SECRET).unwrap();
    Peer { target, requests }
}

async fn serve(mut stream: TcpStream, counter: Arc<AtomicU32>, decide: fn(u32) -> Reply) {
    while let Some((headers, body)) = request(&mut stream).await {
        assert_eq!(headers["x-org-key"], "key");
        let number = counter.fetch_add(1, Ordering::SeqCst);
        let secret = Secret::parse(SECRET).unwrap();
        let digest = digest(&body);
        let (status, extra, body) = match decide(number) {
            Reply::HangUp => return,
            Reply::Busy => (
                "503 Unavailable",
                "retry-after: 0\r\n".to_owned(),
                problem("overloaded"),
            ),
            Reply::Refuse => ("401 Unauthorized", String::new(), problem("unauthorized")),
            Reply::Forge => (
                "202 Accepted",
                "x-receipt: sha256=00\r\n".to_owned(),
                accepted(),
            ),
            reply @ (Reply::Take | Reply::Dawdle(_)) => {
                if let Reply::Dawdle(time) = reply {
                    tokio::time::sleep(time).await;
                }
                let receipt = receipt(&secret, "logs-0-1-0-aa", 10, 0, &digest);
                (
                    "202 Accepted",
                    format!("x-receipt: {receipt}\r\n"),
                    accepted(),
                )
            }
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n{extra}\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
    }
}

fn accepted() -> String {
    r#"{"batch_id":"logs-0-1-0-aa","accepted":10,"rejected":0,"errors":[],"replayed":false}"#
        .to_owned()
}

fn problem(code: &str) -> String {
    let retryable = code == "overloaded";
    format!(r#"{{"code":"{code}","retryable":{retryable}}}"#)
}

async fn request(stream: &mut TcpStream) -> Option<(BTreeMap<String, String>, Vec<u8>)> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let headers: BTreeMap<String, String> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers["content-length"].parse().unwrap();
    while bytes.len() < head_end + length {
        stream.read_buf(&mut bytes).await.ok()?;
    }
    Some((headers, bytes.split_off(head_end)))
}

fn plan(requests: u64) -> Plan {
    let mut plan = Plan::new(Recipe::new(1, "peer").unwrap(), requests);
    plan.batch = 10;
    plan
}

fn sender(peer: &Peer) -> Sender {
    let how = How {
        scheme: Scheme::Body,
        encoding: Encoding::Gzip,
    };
    Sender::new(peer.target.clone(), how, 4).unwrap()
}

#[tokio::test]
async fn what_is_refused_for_now_or_lost_is_repeated_until_it_is_acknowledged() {
    let peer = peer(|number| match number {
        0 | 1 => Reply::Busy,
        3 => Reply::HangUp,
        _ => Reply::Take,
    })
    .await;
    let path = std::env::temp_dir().join(format!("millrace-peer-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let mut plan = plan(3);
    plan.until_acknowledged = true;
    let record = Record::create(&path).unwrap();
    let report = run(plan, sender(&peer), Some(record), CancellationToken::new())
        .await
        .unwrap();
    assert!(report.all_acknowledged(), "{:?}", report.outcomes);
    assert_eq!((report.requests, report.accepted), (3, 30));
    // An idempotent client library may repeat the lost one by itself, unseen.
    assert!(report.retries >= 2);
    assert_eq!(peer.requests.load(Ordering::SeqCst), 6);
    let lines = Record::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut firsts: Vec<u64> = lines.iter().map(|line| line.first_seq).collect();
    firsts.sort_unstable();
    assert_eq!(firsts, [FIRST_SEQ, FIRST_SEQ + 10, FIRST_SEQ + 20]);
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_repeated() {
    let peer = peer(|_| Reply::Refuse).await;
    let mut plan = plan(2);
    plan.until_acknowledged = true;
    let report = run(plan, sender(&peer), None, CancellationToken::new())
        .await
        .unwrap();
    assert!(!report.all_acknowledged());
    assert_eq!(report.outcomes["401 unauthorized"], 2);
    assert_eq!(peer.requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_receipt_that_does_not_hold_is_a_fault() {
    let peer = peer(|_| Reply::Forge).await;
    let report = run(plan(1), sender(&peer), None, CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(report.bad_receipts, 1);
    assert!(!report.all_acknowledged());
}

#[tokio::test]
async fn requests_are_due_whether_or_not_earlier_ones_were_answered() {
    // One connection, ten requests due 20 ms apart, each answered after 60 ms: the last is due
    // after 180 ms and answered after 600 at the earliest, and it is the due time that counts.
    let peer = peer(|_| Reply::Dawdle(Duration::from_millis(60))).await;
    let mut plan = plan(10);
    plan.rate = 500.0;
    let report = run(plan, sender(&peer), None, CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(report.requests, 10);
    assert!(
        report.latency_ms.max >= 600.0 - 180.0 - 1.0,
        "{:?}",
        report.latency_ms
    );
}

#[tokio::test]
async fn a_run_that_is_called_off_reports_what_it_did() {
    let peer = peer(|_| Reply::Busy).await;
    let mut plan = plan(1);
    plan.until_acknowledged = true;
    let stop = CancellationToken::new();
    let called = stop.clone();
    let requests = Arc::clone(&peer.requests);
    tokio::spawn(async move {
        while requests.load(Ordering::SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
        called.cancel();
    });
    let report = run(plan, sender(&peer), None, stop).await.unwrap();
    assert_eq!(report.outcomes["503 overloaded"], 1);
    assert!(report.retries >= 2);
}
