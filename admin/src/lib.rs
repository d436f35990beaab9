//! The operator's command line: keys, indicators, rules, dead letters.
