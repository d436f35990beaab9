//! Who asks, and for which organisation. A [`Principal`] is made only from a verified token, and
//! only a principal makes a [`Bound`] query, which is all that the stores accept. Nothing here
//! reads a row of telemetry.

mod permission;
mod token;
mod slots;
mod caller;

pub use caller::{Caller, authenticate};
pub use permission::{Permission, Permissions};
pub use slots::Slots;
pub use token::{Authenticator, TENANT_HEADER};

use crate::error::Problem;
use millrace_shared::ids::OrgId;
use millrace_shared::outcome::Refusal;
use std::sync::Arc;
use uuid::Uuid;

/// A token's owner, as verified.
#[derive(Clone, Debug)]
pub struct Principal {
    home: OrgId,
    org: OrgId,
    organisation: Arc<str>,
    token: Uuid,
    name: Arc<str>,
    role: Arc<str>,
    permissions: Permissions,
}

/// What a query needs of whoever asks it.
pub trait Needs {
    /// The permission.
    fn permission(&self) -> Permission;
}

/// A query with the organisation that it is limited to. There is no other way to a store.
#[derive(Clone, Debug)]
pub struct Bound<Q> {
    org: OrgId,
    query: Q,
}

impl<Q> Bound<Q> {
    /// The organisation.
    pub fn org(&self) -> OrgId {
        self.org
    }

    /// The query.
    pub fn query(&self) -> &Q {
        &self.query
    }
}

impl Principal {
    /// Binds a query to the principal's organisation.
    ///
    /// # Errors
    /// 403 when the principal may not ask it.
    pub fn bind<Q: Needs>(&self, query: Q) -> Result<Bound<Q>, Problem> {
        self.require(query.permission())?;
        Ok(Bound {
            org: self.org,
            query,
        })
    }

    /// Checks a permission.
    ///
    /// # Errors
    /// 403, naming it.
    pub fn require(&self, permission: Permission) -> Result<(), Problem> {
        if self.permissions.has(permission) {
            return Ok(());
        }
        let (role, needed) = (&self.role, permission.as_str());
        let detail = format!("role {role} does not have the permission {needed}");
        Err(Problem::new(Refusal::Forbidden, detail))
    }

    /// Whether the principal has a permission.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.has(permission)
    }

    /// The organisation it acts for.
    #[must_use]
    pub fn org(&self) -> OrgId {
        self.org
    }

    /// Whether it acts for an organisation that is not its own.
    #[must_use]
    pub fn is_visiting(&self) -> bool {
        self.org != self.home
    }

    /// Name of the organisation it acts for.
    #[must_use]
    pub fn organisation(&self) -> &str {
        &self.organisation
    }

    /// The id of its token.
    #[must_use]
    pub fn token(&self) -> Uuid {
        self.token
    }

    /// The user's e-mail address, or else the token's name or id: what histories call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its role.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Its permissions.
    #[must_use]
    pub fn permissions(&self) -> Permissions {
        self.permissions
    }
}
