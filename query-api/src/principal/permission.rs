//! What a role may do: the closed set of permissions and the default matrix. An organisation may
//! replace the permissions of a role; it can never give those that reach beyond itself.

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// Something a caller may be allowed to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Permission { $($(#[$doc])* $name,)* }

        impl Permission {
            /// All of them.
            pub const ALL: &'static [Permission] = &[$(Permission::$name,)*];

            /// The word as it is stored and shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Permission::$name => $word,)* }
            }
        }
    };
}

permissions! {
    /// Search logs.
    LogsRead = "logs:read",
    /// Query metrics.
    MetricsRead = "metrics:read",
    /// Search traces.
    TracesRead = "traces:read",
    /// Search browser events.
    RumRead = "rum:read",
    /// Search audit events.
    AuditRead = "audit:read",
    /// See the SOC aggregates.
    SocRead = "soc:read",
    /// See alerts.
    AlertsRead = "alerts:read",
    /// Change the status of alerts, assign and note them.
    AlertsTriage = "alerts:triage",
    /// See rules.
    RulesRead = "rules:read",
    /// Try rules on sample events.
    RulesTest = "rules:test",
    /// Make, change and remove rules.
    RulesManage = "rules:manage",
    /// See normalization pipelines, and try them on sample events.
    PipelinesRead = "pipelines:read",
    /// Make, change and remove normalization pipelines.
    PipelinesManage = "pipelines:manage",
    /// See notification channels, and what became of notifications.
    ChannelsRead = "channels:read",
    /// Make, change, try and remove notification channels; send again what was given up.
    ChannelsManage = "channels:manage",
    /// See indicators, their feeds, allow-lists and retro-hunts.
    IndicatorsRead = "indicators:read",
    /// Make, import, change and remove indicators, their feeds and allow-lists; hunt for them.
    IndicatorsManage = "indicators:manage",
    /// See the policy for personal data, and try one on sample events.
    PrivacyRead = "privacy:read",
    /// Change the policy for personal data, and make new peppers.
    PrivacyManage = "privacy:manage",
    /// Search for values that are stored as hashes or pseudonyms.
    PiiRevealHash = "pii:reveal-hash",
    /// See usage.
    UsageRead = "usage:read",
    /// See who sends.
    SourcesRead = "sources:read",
    /// See the ledger and the balance of one's own organisation.
    LedgerRead = "ledger:read",
    /// See dead letters without their contents.
    DeadLettersRead = "dead_letters:read",
    /// See the raw, unscrubbed bytes of dead letters.
    DeadLettersRaw = "dead_letters:raw",
    /// Replay and drop dead letters.
    DeadLettersManage = "dead_letters:manage",
    /// See the ledger of the whole installation, and dead letters that belong to nobody.
    InstallationRead = "installation:read",
    /// Act for another organisation.
    TenantsSwitch = "tenants:switch",
}

impl Permission {
    /// Whether it reaches beyond one's own organisation, so that no organisation can give it.
    #[must_use]
    pub const fn beyond_organisation(self) -> bool {
        matches!(
            self,
            Permission::InstallationRead | Permission::TenantsSwitch
        )
    }
}

const _: () = assert!(Permission::ALL.len() <= 32);

/// A set of permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u32);

impl Permissions {
    const fn of(list: &[Permission]) -> Self {
        let mut bits = 0;
        let mut rest = list;
        while let [first, others @ ..] = rest {
            bits |= 1 << (*first as u32);
            rest = others;
        }
        Permissions(bits)
    }

    const fn and(self, other: Permissions) -> Self {
        Permissions(self.0 | other.0)
    }

    /// Whether the permission is in the set.
    #[must_use]
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & (1 << (permission as u32)) != 0
    }

    /// The permissions as words.
    #[must_use]
    pub fn words(self) -> Vec<&'static str> {
        let all = Permission::ALL.iter();
        all.filter(|p| self.has(**p)).map(|p| p.as_str()).collect()
    }

    /// The permissions of a role in an organisation that has not replaced them. A role that is not
    /// known may do nothing.
    #[must_use]
    pub fn of_role(role: &str) -> Self {
        match role {
            "viewer" => VIEWER,
            "analyst" => ANALYST,
            "threat_hunter" => THREAT_HUNTER,
            "admin" => ADMIN,
            GLOBAL_ADMIN => EVERYTHING,
            _ => Permissions::default(),
        }
    }

    /// The permissions that an organisation stored for a role. Words that are not known give
    /// nothing, and nothing stored reaches beyond the organisation.
    #[must_use]
    pub fn stored(words: &[String]) -> Self {
        let given: Vec<_> = Permission::ALL
            .iter()
            .copied()
            .filter(|p| !p.beyond_organisation() && words.iter().any(|w| w == p.as_str()))
            .collect();
        Permissions::of(&given)
    }
}

/// The role that may act for other organisations.
pub(super) const GLOBAL_ADMIN: &str = "global_admin";

/// Sees everything, changes nothing.
const VIEWER: Permissions = Permissions::of(&[
    Permission::LogsRead,
    Permission::MetricsRead,
    Permission::TracesRead,
    Permission::RumRead,
    Permission::AuditRead,
    Permission::SocRead,
    Permission::AlertsRead,
    Permission::RulesRead,
    Permission::PipelinesRead,
    Permission::IndicatorsRead,
    Permission::PrivacyRead,
    Permission::UsageRead,
    Permission::SourcesRead,
    Permission::LedgerRead,
]);
const ANALYST: Permissions = VIEWER.and(Permissions::of(&[
    Permission::AlertsTriage,
    Permission::RulesTest,
    Permission::ChannelsRead,
    Permission::DeadLettersRead,
]));
const THREAT_HUNTER: Permissions = ANALYST.and(Permissions::of(&[
    Permission::RulesManage,
    Permission::IndicatorsManage,
    Permission::PiiRevealHash,
]));
const ADMIN: Permissions = THREAT_HUNTER.and(Permissions::of(&[
    Permission::PipelinesManage,
    Permission::ChannelsManage,
    Permission::PrivacyManage,
    Permission::DeadLettersRaw,
    Permission::DeadLettersManage,
]));
const EVERYTHING: Permissions = Permissions::of(Permission::ALL);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_the_one_below_may_and_more() {
        let ladder = ["viewer", "analyst", "threat_hunter", "admin", GLOBAL_ADMIN];
        for pair in ladder.windows(2) {
            let (low, high) = (Permissions::of_role(pair[0]), Permissions::of_role(pair[1]));
            assert_eq!(low.and(high), high, "{pair:?}");
            assert_ne!(low, high, "{pair:?}");
        }
        assert!(!Permissions::of_role("viewer").has(Permission::AlertsTriage));
        assert!(!Permissions::of_role("admin").has(Permission::TenantsSwitch));
        assert_eq!(Permissions::of_role("root"), Permissions::default());
    }

    #[test]
    fn an_organisation_gives_only_what_is_known_and_its_own() {
        let words = [
            "logs:read",
            "tenants:switch",
            "installation:read",
            "fly:moon",
        ];
        let given = Permissions::stored(&words.map(str::to_owned));
        assert_eq!(given.words(), ["logs:read"]);
    }
}
