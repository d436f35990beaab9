//! Browser events: page views, timings, clicks and the odd script error.

use super::Page;
use std::fmt::{self, Write as _};

const PAGES: &[&str] = &["", "cart", "checkout", "search", "product/1203", "account"];
const AGENTS: &[&str] = &[
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
];

pub(super) fn event(page: &mut Page<'_>, seq: u64) -> fmt::Result {
    let time = page.time();
    let session = page.dice.below(10_000);
    let (place, agent) = (page.dice.pick(PAGES), page.dice.pick(AGENTS));
    let roll = page.dice.below(100);
    let kind = match roll {
        0..3 => "error",
        3..40 => "performance",
        40..60 => "click",
        _ => "pageview",
    };
    write!(
        page.out,
        r#"{{"timestamp":"{time}","session_id":"s-{session:05}","event_type":"{kind}","service":"shop-web","user_agent":"{agent}","page_url":"https://shop.example.com/{place}"#
    )?;
    if let Some((_, value)) = page.personal(seq) {
        // As browsers write it into an address.
        let value = value.replace(' ', "%20").replace('+', "%2B");
        write!(page.out, "?contact={value}")?;
    }
    page.out.push('"');
    match kind {
        "error" => page.out.push_str(
            r#","error":{"message":"x is undefined","type":"TypeError","stack":"TypeError: x is undefined\n    at pay (https://shop.example.com/app.js:10:15)"}"#,
        ),
        "performance" => {
            let (first, largest) = (200 + page.dice.below(900), 900 + page.dice.below(2_500));
            write!(
                page.out,
                r#","performance":{{"fcp":{first},"lcp":{largest},"inp":{},"cls":0.0{},"ttfb":{}}}"#,
                20 + page.dice.below(300),
                page.dice.below(10),
                30 + page.dice.below(400)
            )?;
        }
        _ => {}
    }
    write!(
        page.out,
        r#","custom_attributes":{{"load_seq":{seq},"load_run":"{}"}}}}"#,
        page.recipe.run
    )
}
