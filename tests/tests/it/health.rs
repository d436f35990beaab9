//! What Prometheus and an orchestrator see of the services.

use millrace_runtime::metric::Declared;
use millrace_tests::{Http, Org, shared, until};

#[test]
fn every_service_says_that_it_lives_and_is_ready() {
    let _started = Org::new("health");
    for service in [&shared().gateway, &shared().worker, &shared().query] {
        for path in ["healthz", "readyz"] {
            // A store that a busy machine lets answer late is not ready just then.
            until("a service that is well", || {
                let answer = Http::new().get(&format!("{}/{path}", service.admin_url), &[]);
                let answer = answer.unwrap();
                match answer.status {
                    200 => Ok(()),
                    _ => Err((service.part, path, answer.text())),
                }
            });
        }
    }
}

#[test]
fn what_the_services_export_is_what_the_reference_lists() {
    let org = Org::new("exported");
    org.committed(&org.send_logs(&["counted"]));
    let _asked = org.search_logs("service=test");
    let services: [(
        &millrace_tests::installation::Running,
        &[&'static dyn Declared],
    ); 3] = [
        (&shared().gateway, ingest_gateway::metrics::ALL),
        (&shared().worker, normalizer_worker::metrics::ALL),
        (&shared().query, query_api::metrics::ALL),
    ];
    for (service, declared) in services {
        // Gauges are brought up to date every few seconds.
        until("some of the metrics are exported", || {
            let page = service.metrics();
            let exported = declared
                .iter()
                .filter(|metric| page.contains(metric.name()))
                .count();
            if exported * 3 >= declared.len() {
                Ok(())
            } else {
                Err((service.part, exported, declared.len()))
            }
        });
        for line in service
            .metrics()
            .lines()
            .filter(|line| line.starts_with("millrace_"))
        {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let known = declared
                .iter()
                .any(|metric| name.starts_with(metric.name()));
            assert!(
                known,
                "{:?} exports {name}, which its reference does not list",
                service.part
            );
            assert!(
                !line.contains(&org.id.to_string()),
                "no organisation in a label: {line}"
            );
        }
    }
}
