//! The rule engine compared with an independent evaluator of Sigma rules. There is only a test
//! here: a crate of its own, so that nothing else is built with the other evaluator.
