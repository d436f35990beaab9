//! What the installation itself records of changes of indicators. It names them, so it is no evidence of
//! them: whoever enters or removes one would find just that, live and in hunts.
//!
//! Only who recorded it tells: no agent can have such a key, for it is in no table of keys.

use millrace_runtime::trail;
use millrace_shared::Event;
use millrace_shared::entry::Meta;
use millrace_shared::event::Role;

/// The keys of those who record changes of indicators: the query API and the operator's tool.
const RECORDERS: [&str; 2] = [trail::QUERY_API, trail::ADMIN];

/// What they change, as the names of their actions begin.
const CHANGED: [&str; 4] = [
    "indicator.",
    "indicator_feed.",
    "allow_list.",
    "retro_hunt.",
];

/// Whether an event names indicators because somebody changed them.
pub(crate) fn names_indicators(meta: &Meta, event: &Event<'_>) -> bool {
    RECORDERS.contains(&meta.key.as_str())
        && event
            .text(Role::Action)
            .is_some_and(|action| CHANGED.iter().any(|of| action.starts_with(of)))
}

/// The same of a stored row, as a condition of ClickHouse.
pub(crate) fn stored_names_indicators() -> String {
    let changed = CHANGED.map(|of| format!("startsWith(Action, '{of}')"));
    format!(
        "KeyId IN ('{}') AND ({})",
        RECORDERS.join("', '"),
        changed.join(" OR ")
    )
}
