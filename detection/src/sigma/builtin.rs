//! The pipelines that are built in: how the log sources and fields of published rules are called
//! in what the usual collectors send here.

use super::pipeline::Pipeline;
use std::sync::OnceLock;

/// Windows event channels and categories, Linux, web servers and clouds, our own events.
const DOCUMENTS: [&str; 4] = [
    include_str!("pipelines/windows.yml"),
    include_str!("pipelines/linux.yml"),
    include_str!("pipelines/web.yml"),
    include_str!("pipelines/cloud.yml"),
];

/// The built-in pipelines, read once.
pub(super) fn pipelines() -> &'static [Pipeline] {
    static PIPELINES: OnceLock<Vec<Pipeline>> = OnceLock::new();
    PIPELINES.get_or_init(|| {
        // A test sees to it that every one can be read.
        let read = DOCUMENTS.iter().map(|text| Pipeline::from_yaml(text));
        read.filter_map(Result::ok).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pipeline_can_be_read() {
        for document in DOCUMENTS {
            Pipeline::from_yaml(document).unwrap();
        }
        assert_eq!(pipelines().len(), DOCUMENTS.len());
    }
}
