//! Who the caller is.

use crate::principal::Caller;
use actix_web::web::Json;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// The caller, as its token says.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhoAmI {
    /// The organisation it acts for.
    org_id: Uuid,
    /// Name of that organisation.
    organisation: String,
    /// The token's id.
    token_id: Uuid,
    /// The user's e-mail address, or else the token's name.
    name: String,
    /// The role.
    role: String,
    /// What the role may do.
    permissions: Vec<&'static str>,
    /// It acts for an organisation that is not its own.
    visiting: bool,
}

/// Who am I?
#[utoipa::path(get, path = "/api/v1/whoami", tag = "whoami",
    responses((status = 200, body = WhoAmI), (status = 401)))]
pub(crate) async fn whoami(caller: Caller) -> Json<WhoAmI> {
    Json(WhoAmI {
        org_id: caller.org(),
        organisation: caller.organisation().to_owned(),
        token_id: caller.token(),
        name: caller.name().to_owned(),
        role: caller.role().to_owned(),
        permissions: caller.permissions().words(),
        visiting: caller.is_visiting(),
    })
}
