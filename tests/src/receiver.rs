//! Receivers of notifications: a small HTTP server and a small mail server that write down what comes
//! and answer as they are told. They know nothing of the pipeline.

use crate::wait::runtime;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Longer than any attempt may take.
const FOREVER: Duration = Duration::from_secs(600);

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// When its last byte had come.
    pub at: Instant,
    /// Method, path and version.
    pub line: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value; empty when there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }
}

/// What a receiver does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answers with a status and these header lines.
    Status(u16, &'static [&'static str]),
    /// Says nothing, and keeps the connection.
    Silence,
    /// Closes the connection without an answer.
    Close,
}

type Script = dyn Fn(usize, &Request) -> Reply + Send + Sync;

/// An HTTP receiver.
#[derive(Clone)]
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Receiver {
    /// One that answers each request as `script` says, which is given the number of the request.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn new(script: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Receiver {
        let _guard = runtime().enter();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let listener = TcpListener::from_std(listener).expect("a listener");
        let receiver = Receiver {
            address: listener.local_addr().expect("its address"),
            seen: Arc::default(),
        };
        let seen = Arc::clone(&receiver.seen);
        let script: Arc<Script> = Arc::new(script);
        runtime().spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                runtime().spawn(answer(socket, Arc::clone(&seen), Arc::clone(&script)));
            }
        });
        receiver
    }

    /// One that takes everything.
    #[must_use]
    pub fn willing() -> Receiver {
        Receiver::new(|_, _| Reply::Status(200, &[]))
    }

    /// Its address, with a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What has come.
    ///
    /// # Panics
    /// When another thread panicked in here.
    #[must_use]
    pub fn seen(&self) -> Vec<Request> {
        self.seen
            .lock()
            .expect("no panic with the lock held")
            .clone()
    }
}

async fn answer(socket: TcpStream, seen: Arc<Mutex<Vec<Request>>>, script: Arc<Script>) {
    let mut socket = BufReader::new(socket);
    let Some(request) = read(&mut socket).await else {
        return;
    };
    let reply = {
        let mut seen = seen.lock().expect("no panic with the lock held");
        let reply = script(seen.len(), &request);
        seen.push(request);
        reply
    };
    match reply {
        Reply::Status(status, headers) => {
            let mut text = format!("HTTP/1.1 {status} Told\r\ncontent-length: 2\r\n");
            for line in headers {
                text.push_str(line);
                text.push_str("\r\n");
            }
            text.push_str("connection: close\r\n\r\nok");
            // The sender may have gone; that is its affair.
            let _sent = socket.write_all(text.as_bytes()).await;
        }
        Reply::Silence => tokio::time::sleep(FOREVER).await,
        Reply::Close => {}
    }
}

async fn read(socket: &mut BufReader<TcpStream>) -> Option<Request> {
    let (mut line, mut headers) = (String::new(), BTreeMap::new());
    socket
        .read_line(&mut line)
        .await
        .ok()
        .filter(|read| *read > 0)?;
    loop {
        let mut header = String::new();
        socket.read_line(&mut header).await.ok()?;
        match header.trim_end().split_once(':') {
            Some((name, value)) => {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
            None => break,
        }
    }
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.ok()?;
    Some(Request {
        at: Instant::now(),
        line: line.trim_end().to_owned(),
        headers,
        body,
    })
}

/// How a mail server protects its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Not at all.
    Plain,
    /// When asked to.
    Starttls,
    /// From the first byte.
    Tls,
}

/// A mail as it came.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    /// The sender of the envelope.
    pub from: String,
    /// The recipients of the envelope.
    pub to: Vec<String>,
    /// Headers and text.
    pub data: String,
    /// Whether it came by TLS.
    pub encrypted: bool,
    /// What was said to log in.
    pub login: String,
}

/// A mail server: `script` says, by the number of the mail, what it answers to its end.
#[derive(Clone)]
pub struct MailServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate (PEM), which nobody knows but who is given it.
    pub certificate: PathBuf,
    seen: Arc<Mutex<Vec<Mail>>>,
    protection: Protection,
    tls: TlsAcceptor,
    script: Arc<dyn Fn(usize) -> u16 + Send + Sync>,
}

/// The certificate that all mail servers of this process share, and its key.
fn certificate() -> &'static (PathBuf, TlsAcceptor) {
    static MADE: std::sync::OnceLock<(PathBuf, TlsAcceptor)> = std::sync::OnceLock::new();
    MADE.get_or_init(|| {
        let names = vec!["127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let path = crate::process::logs().join("mail.pem");
        std::fs::write(&path, made.cert.pem()).expect("a file for the certificate");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("its key");
        let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a certificate with its key");
        (path, TlsAcceptor::from(Arc::new(config)))
    })
}

/// Where the certificate of the mail servers lies, for who is to trust it.
#[must_use]
pub fn mail_certificate() -> String {
    certificate().0.display().to_string()
}

impl MailServer {
    /// A mail server.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn new(
        protection: Protection,
        script: impl Fn(usize) -> u16 + Send + Sync + 'static,
    ) -> MailServer {
        let _guard = runtime().enter();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let listener = TcpListener::from_std(listener).expect("a listener");
        let (path, tls) = certificate();
        let server = MailServer {
            address: listener.local_addr().expect("its address"),
            certificate: path.clone(),
            seen: Arc::default(),
            protection,
            tls: tls.clone(),
            script: Arc::new(script),
        };
        let serving = server.clone();
        runtime().spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let serving = serving.clone();
                runtime().spawn(async move { serving.serve(socket).await });
            }
        });
        server
    }

    /// What has come.
    ///
    /// # Panics
    /// When another thread panicked in here.
    #[must_use]
    pub fn seen(&self) -> Vec<Mail> {
        self.seen
            .lock()
            .expect("no panic with the lock held")
            .clone()
    }

    async fn serve(&self, socket: TcpStream) -> Option<()> {
        if self.protection == Protection::Tls {
            let socket = self.tls.accept(socket).await.ok()?;
            self.talk(BufReader::new(socket), true, true).await?;
            return Some(());
        }
        let plain = self.talk(BufReader::new(socket), false, true).await?;
        let socket = self.tls.accept(plain.into_inner()).await.ok()?;
        self.talk(BufReader::new(socket), true, false)
            .await
            .map(drop)
    }

    /// Talks until the end, or until the other side wants TLS: then the connection is given back.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut socket: BufReader<S>,
        encrypted: bool,
        greets: bool,
    ) -> Option<BufReader<S>> {
        if greets {
            say(&mut socket, "220 mail.test ESMTP").await?;
        }
        let mut mail = Mail {
            encrypted,
            ..Mail::default()
        };
        loop {
            let line = hear(&mut socket).await?;
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match word.to_ascii_uppercase().as_str() {
                "EHLO" if self.protection == Protection::Starttls && !encrypted => {
                    say(&mut socket, "250-mail.test\r\n250 STARTTLS").await?;
                }
                "EHLO" => say(&mut socket, "250-mail.test\r\n250 AUTH PLAIN LOGIN").await?,
                "STARTTLS" => {
                    say(&mut socket, "220 go ahead").await?;
                    return Some(socket);
                }
                "AUTH" => {
                    rest.clone_into(&mut mail.login);
                    say(&mut socket, "235 welcome").await?;
                }
                "MAIL" => {
                    rest.clone_into(&mut mail.from);
                    say(&mut socket, "250 ok").await?;
                }
                "RCPT" => {
                    mail.to.push(rest.to_owned());
                    say(&mut socket, "250 ok").await?;
                }
                "DATA" => {
                    say(&mut socket, "354 go on").await?;
                    mail.data = data(&mut socket).await?;
                    let code = self.note(mail.clone());
                    say(&mut socket, &format!("{code} so be it")).await?;
                }
                "QUIT" => {
                    say(&mut socket, "221 bye").await?;
                    return None;
                }
                _ => say(&mut socket, "502 what?").await?,
            }
        }
    }

    fn note(&self, mail: Mail) -> u16 {
        let mut seen = self.seen.lock().expect("no panic with the lock held");
        let code = (self.script)(seen.len());
        seen.push(mail);
        code
    }
}

async fn say<S: AsyncWrite + Unpin>(socket: &mut BufReader<S>, text: &str) -> Option<()>
where
    BufReader<S>: AsyncWrite,
{
    let line = format!("{text}\r\n");
    socket.write_all(line.as_bytes()).await.ok()?;
    socket.flush().await.ok()
}

async fn hear<S: AsyncRead + Unpin>(socket: &mut BufReader<S>) -> Option<String> {
    let mut line = String::new();
    let read = socket.read_line(&mut line).await.ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}

async fn data<S: AsyncRead + Unpin>(socket: &mut BufReader<S>) -> Option<String> {
    let mut data = String::new();
    loop {
        let line = hear(socket).await?;
        if line == "." {
            return Some(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line));
        data.push('\n');
    }
}
