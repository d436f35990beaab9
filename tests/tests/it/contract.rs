//! Every example of the contract, carried out.

use millrace_load::example;
use millrace_load::target::Target;
use millrace_tests::Org;
use millrace_tests::wait::block_on;

#[test]
fn every_example_of_the_contract_comes_out_as_written() {
    let org = Org::new("examples");
    let target = Target::new(&org.gateway_url, &org.key_id, org.secret.reveal()).unwrap();
    let folder = millrace_devstack::place::workspace().join("docs/examples");
    let examples = example::read_all(&folder).unwrap();
    assert!(
        examples.len() >= 30,
        "only {} examples were found",
        examples.len()
    );
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut wrong = Vec::new();
    for example in &examples {
        if let Err(why) = block_on(example.execute(&target, &client)) {
            wrong.push(why);
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        examples.len(),
        wrong.join("\n")
    );
}
