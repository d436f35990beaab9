//! Overload and fairness, measured on the whole pipeline (`make overload`).
//!
//! ```text
//! sender    requests at a constant rate, whether or not earlier ones were answered
//! gauge     what the machine and the processes use meanwhile
//! cores     the pipeline on some, the load on others
//! site      the pipeline under test: engines, services, organisations, and what the stores say
//! analyst   searches all the time
//! capacity  how much the pipeline stores when it is offered more than that
//! excess    a multiple of it for minutes, and how it gets back to normal
//! noisy     one organisation at twenty times its quota beside a quiet one
//! outage    a store away, with the load going on
//! report    what was found, as a page
//! ```
//!
//! The load is open-loop: a slow pipeline does not slow the clock that measures it. What was
//! accepted is counted in the stores at the end of each scenario, so an event that is lost or
//! stored twice is found. Figures are ratios within one run, because machines are shared.

pub mod sender;
pub mod gauge;
pub mod cores;
pub mod site;
mod analyst;
pub mod capacity;
pub mod excess;
pub mod noisy;
pub mod outage;
pub mod report;
