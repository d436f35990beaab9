//! Lines as the usual programs write them, in the proportions of a quiet day: nothing personal is
//! in them, and nothing may be changed.

use crate::dice::{DIGITS, Dice, HEX, LOWER, UPPER_DIGITS};

/// Patterns: `#` is a digit, `~` a hex digit, `?` a letter, `^` a capital or digit, `$` a number,
/// `!` a word, `%` a time of day.
const LINES: &[&str] = &[
    "Nov ## % web! sshd[#####]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=10.#.#.##",
    "Nov ## % web! sshd[#####]: Failed password for invalid user ! from 10.##.#.## port ##### ssh2",
    "Nov ## % web! sshd[#####]: Received disconnect from 10.##.#.##: 11: Bye Bye [preauth]",
    "Nov ## % web! sshd[#####]: Accepted publickey for ! from 10.#.#.## port ##### ssh2: RSA SHA256:~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~",
    "Nov ## % web! systemd[1]: Started Session $ of user !.",
    "Nov ## % web! systemd[1]: getty@tty#.service: Deactivated successfully.",
    "Nov ## % web! CRON[#####]: (root) CMD (   cd / && run-parts --report /etc/cron.hourly)",
    "Nov ## % web! kernel: [#######.######] eth0: link up, 1000Mbps, full-duplex, lpa 0x~~~~",
    "Nov ## % web! kernel: [#####.######] Out of memory: Killed process ##### (!) total-vm:#######kB, anon-rss:######kB",
    "Nov ## % web! dhclient[####]: DHCPREQUEST for 10.#.#.## on eth0 to 10.#.#.# port 67 (xid=0x~~~~~~~~)",
    "10.#.#.## - - [##/Nov/2026:% +0000] \"GET /!/!?page=$&sort=! HTTP/1.1\" 200 #### \"-\" \"Mozilla/5.0 (X11; Linux x86_64) Chrome/12#.0.0.0\"",
    "10.#.#.## - ! [##/Nov/2026:% +0530] \"POST /api/v1/orders/~~~~~~~~-~~~~-4~~~-a~~~-~~~~~~~~~~~~ HTTP/2.0\" 201 ### 0.0##",
    "[Sun Nov ## % 2026] [error] [client 10.#.#.##] File does not exist: /var/www/html/!",
    "[Sun Nov ## % 2026] [notice] jk2_init() Found child #### in scoreboard slot #",
    "2026/11/## % [warn] ######0: *##### upstream server temporarily disabled while connecting to upstream, client: 10.#.#.##",
    "2026-11-##T%.###Z INFO ! started batch with $ events in #.## ms trace_id=~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~ span_id=~~~~~~~~~~~~~~~~",
    "2026-11-## %.### ##### INFO nova.compute.manager [req-~~~~~~~~-~~~~-4~~~-8~~~-~~~~~~~~~~~~ ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~ - - -] [instance: ~~~~~~~~-~~~~-4~~~-9~~~-~~~~~~~~~~~~] VM Resumed (Lifecycle Event)",
    "2026-11-## %.### ##### INFO nova.osapi_compute.wsgi.server [req-~~~~~~~~-~~~~-4~~~-8~~~-~~~~~~~~~~~~] 10.#.#.# \"GET /v2/~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~/servers/detail HTTP/1.1\" status: 200 len: #### time: 0.#######",
    "######  ###### INFO dfs.DataNode$PacketResponder: Received block blk_-################### of size 67108864 from /10.###.##.##",
    "2026-11-## %,### WARN org.apache.zookeeper.server.NIOServerCnxn: Connection broken for id 0x~~~~~~~~~~~~~~~, my id = 2",
    "2026-11-## %.### UTC [#####] !@! LOG:  duration: ###.### ms  statement: SELECT id FROM ! WHERE id = $ AND created > '2026-11-##'",
    "2026-11-## %.### UTC [#####] LOG:  checkpoint complete: wrote ##### buffers (#.#%); 0 WAL file(s) added; write=##.### s, sync=0.### s; lsn=#/~~~~~~~~",
    "#####:C ## Nov 2026 % # Background saving terminated with success",
    "I11## %.######       1 controller.go:###] Syncing deployment default/!-~~~~~~~~~~-????? generation $",
    "{\"level\":\"info\",\"ts\":17########.######,\"caller\":\"http/!.go:##\",\"msg\":\"handled request\",\"status\":200,\"size\":#####,\"duration\":0.######}",
    "{\"timestamp\":\"2026-11-##T%.######Z\",\"level\":\"DEBUG\",\"logger\":\"com.example.!\",\"thread\":\"http-nio-8080-exec-#\",\"message\":\"cache miss for key !:$\"}",
    "level=info ts=2026-11-##T%.###Z caller=main.go:### component=! msg=\"compacted block\" block=01^^^^^^^^^^^^^^^^^^^^^^^^ duration=#.######s",
    "Exception in thread \"main\" java.lang.NullPointerException: Cannot invoke \"String.length()\" at com.example.!.App.main(App.java:##)",
    "  File \"/usr/lib/python3/dist-packages/!/!.py\", line ###, in !",
    "goroutine ### [running]: main.!(0xc000######, 0x~~) /go/src/!/main.go:## +0x~~~",
    "TypeError: Cannot read properties of undefined (reading '!') at Array.forEach (app.~~~~~~~~.js:##:####)",
    "dpkg: status installed libc6:amd64 2.3#-##+deb13u#",
    "dpkg: status unpacked passwd:arm64 1:4.##+dfsg#-#",
    "pulled image registry.example/!@sha256:~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~ in #.##s",
    "npm warn deprecated !@#.##.#: this package is no longer supported, use @!/!@#.# instead",
    "postfix/qmgr[####]: ^^^^^^^^^^: removed",
    "audit: type=1400 audit(17########.###:####): apparmor=\"ALLOWED\" operation=\"open\" pid=##### comm=\"!\" requested_mask=\"r\"",
    "kafka: [Partition !-## broker=#] Log loaded for partition with initial high watermark ########",
    "health check passed for http://10.#.#.##:80## in # ms",
    "user session ~~~~~~~~-~~~~-7~~~-b~~~-~~~~~~~~~~~~ refreshed",
    "order number $ accepted after two attempts",
];

/// A line of some program.
pub(crate) fn line(dice: &mut Dice) -> String {
    let pattern = dice.of(LINES);
    let mut line = String::new();
    for mark in pattern.chars() {
        match mark {
            '#' => line.push_str(&dice.text(DIGITS, 1)),
            '~' => line.push_str(&dice.text(HEX, 1)),
            '?' => line.push_str(&dice.text(LOWER, 1)),
            '^' => line.push_str(&dice.text(UPPER_DIGITS, 1)),
            '$' => line.push_str(&dice.below(10_000_000).to_string()),
            '!' => line.push_str(&dice.some(LOWER, 3, 9)),
            '%' => line.push_str(&format!(
                "{:02}:{:02}:{:02}",
                dice.below(24),
                dice.below(60),
                dice.below(60)
            )),
            other => line.push(other),
        }
    }
    line
}
