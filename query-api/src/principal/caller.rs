//! The principal as a handler receives it: verified, with its slot and the id of its request.

use super::{Principal, TENANT_HEADER};
use crate::error::Problem;
use crate::principal::slots::Slot;
use crate::trail::Entry;
use crate::{Api, arrive};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, web};
use millrace_runtime::clock;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::ops::Deref;

/// A verified request. Dropping it frees its slot.
#[derive(Debug)]
pub struct Caller {
    principal: Principal,
    /// The id of the request.
    pub request_id: String,
    /// The address it came from.
    pub address: Option<IpAddr>,
    /// The client's user agent.
    pub user_agent: String,
    /// When it came, nanoseconds since 1970.
    pub now_ns: i64,
    _slot: Slot,
}

impl Deref for Caller {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.principal
    }
}

/// Verifies the caller before anything else of the request is looked at: without a token one does
/// not even hear that a parameter is wrong.
///
/// # Errors
/// Those of the handler.
pub async fn authenticate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match verify(request.request()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            let response = next.call(request).await?;
            Ok(response.map_into_boxed_body())
        }
        Err(problem) => Ok(request.error_response(problem)),
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = request.extensions_mut().remove::<Caller>();
        ready(caller.ok_or_else(|| Problem::internal("a route without a caller", &request.path())))
    }
}

async fn verify(request: &HttpRequest) -> Result<Caller, Problem> {
    let api = request
        .app_data::<web::Data<Api>>()
        .ok_or_else(|| Problem::internal("no application state", &"app_data"))?;
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    let now_ns = clock::now_ns();
    let (authorization, tenant) = (header("authorization"), header(TENANT_HEADER));
    let principal = api
        .authenticator
        .verify(&api.pg, authorization, tenant, now_ns)
        .await?;
    let slot = api.slots.take(principal.org())?;
    let caller = Caller {
        principal,
        request_id: arrive::request_id(request),
        address: request.peer_addr().map(|peer| peer.ip()),
        user_agent: header("user-agent").unwrap_or_default().to_owned(),
        now_ns,
        _slot: slot,
    };
    if caller.is_visiting() {
        // Another organisation's data is about to be seen: it is told before, not after.
        let entry = Entry::of("PLATFORM_ADMIN", "tenant.visit").target("route", request.path());
        api.trail.record(&caller, entry).await?;
    }
    Ok(caller)
}
