//! One attempt by mail: the server's addresses are judged, a connection is made to them alone and
//! protected as the channel says, and the mail is handed over. What the server says is left out of what
//! is kept, but for its code.

use super::message::Message;
use super::verdict::Attempt;
use super::wire::Wire;
use super::{Means, email};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::{Error as SmtpError, extension::ClientId};
use millrace_runtime::outgoing::OutgoingError;
use millrace_shared::channel::{MailSecurity, MailServer};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;

/// What mail servers answer to a mail that they take.
const MAIL_TAKEN: u16 = 250;
/// Time for saying goodbye.
const PARTING: Duration = Duration::from_secs(1);
const BROKE_OFF: &str = "the mail server broke off";
const NO_TLS: &str = "TLS with the mail server failed";

/// Sends a mail once.
pub(super) async fn mail(means: &Means, server: &MailServer, message: &Message) -> Attempt {
    let mut connection = match timeout(means.rules.timeout, submit(means, server, message)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(attempt)) => return attempt,
        Err(_) => return Attempt::failed(&OutgoingError::Timeout),
    };
    // The mail is taken: how the parting goes changes nothing.
    let _ = timeout(PARTING, connection.quit()).await;
    Attempt::Taken { status: MAIL_TAKEN }
}

/// Hands the mail over: the connection on which it was taken, or what the attempt came to.
async fn submit(
    means: &Means,
    server: &MailServer,
    message: &Message,
) -> Result<AsyncSmtpConnection, Attempt> {
    let encrypted = match server.security {
        MailSecurity::Tls | MailSecurity::Starttls => true,
        MailSecurity::None => false,
    };
    let mail = email::mail(message, server).map_err(Attempt::never)?;
    let outgoing = &means.outgoing;
    let found = outgoing.mail_addresses(&server.host, server.port, encrypted);
    let addresses = found.await.map_err(|error| Attempt::failed(&error))?;
    let mut connection = connect(means, server, &addresses).await?;
    let said = async {
        if let (Some(user), Some(password)) = (&server.username, &server.password) {
            let credentials = Credentials::new(user.clone(), password.clone());
            let ways = [Mechanism::Plain, Mechanism::Login];
            connection.auth(&ways, &credentials).await?;
        }
        connection.send(mail.envelope(), &mail.formatted()).await
    };
    match said.await {
        Ok(_) => Ok(connection),
        Err(error) => Err(of_smtp(&error, BROKE_OFF)),
    }
}

/// A connection on which the server has greeted, protected; or what the attempt came to.
async fn connect(
    means: &Means,
    server: &MailServer,
    addresses: &[SocketAddr],
) -> Result<AsyncSmtpConnection, Attempt> {
    let unreachable = |error: std::io::Error| {
        Attempt::later(&format!("the mail server cannot be reached: {error}"))
    };
    let hello = ClientId::Domain(email::domain(server).to_owned());
    let wire = Wire::open(addresses).await.map_err(unreachable)?;
    let greeted = match server.security {
        MailSecurity::Tls => {
            let secured = wire.secured(&server.host, means.outgoing.tls()).await;
            let wire = secured.map_err(|error| Attempt::later(&format!("{NO_TLS}: {error}")))?;
            AsyncSmtpConnection::connect_with_transport(Box::new(wire), &hello).await
        }
        MailSecurity::Starttls | MailSecurity::None => {
            AsyncSmtpConnection::connect_with_transport(Box::new(wire), &hello).await
        }
    };
    let mut connection = greeted.map_err(|error| of_smtp(&error, BROKE_OFF))?;
    if server.security == MailSecurity::Starttls {
        let upgraded = async {
            connection
                .starttls(parameters(means, server)?, &hello)
                .await
        };
        upgraded.await.map_err(|error| of_smtp(&error, NO_TLS))?;
    }
    Ok(connection)
}

/// The same trust as everywhere, in the form that the library takes for STARTTLS.
fn parameters(means: &Means, server: &MailServer) -> Result<TlsParameters, SmtpError> {
    let roots = Certificate::from_pem(means.outgoing.roots().as_bytes())?;
    TlsParameters::builder(server.host.clone())
        .certificate_store(CertificateStore::None)
        .add_root_certificate(roots)
        .build_rustls()
}

/// What the mail server's code means; without one, it is `otherwise`.
fn of_smtp(error: &SmtpError, otherwise: &str) -> Attempt {
    let status = error.status().map(u16::from);
    if let Some(code) = status {
        let said = format!("the mail server answered {code}");
        return if error.is_transient() {
            Attempt::Later {
                error: said,
                status,
                retry_after: None,
            }
        } else {
            Attempt::Never {
                error: said,
                status,
            }
        };
    }
    if error.is_client() {
        return Attempt::never(
            "the mail server lacks what is needed: STARTTLS, or a known way to log in",
        );
    }
    Attempt::later(otherwise)
}
