//! Whole-pipeline tests on the real engines, contract, faults.
