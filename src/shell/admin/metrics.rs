//! The metrics in Prometheus's text form.
//!
//! Only what is counted is shown: names that the interface promises and nothing counts yet are missing, not zero.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use super::Running;
use crate::domain::fault::Code;
use crate::domain::integration::Cloud;
use crate::domain::settlement::Reason;
use crate::ports::queue::Depth;

/// Writes all metrics of a worker; `tasks` and `webhooks` are the queues' depths, as far as they could be counted.
pub(super) fn text(running: &Running, tasks: Option<Depth>, webhooks: Option<Depth>) -> String {
    let tally = &running.tally;
    let mut page = Page::default();
    page.family("tasks_total", "counter", "Tasks that ended.");
    page.sample("tasks_total", "{status=\"completed\"}", tally.completed.load(Relaxed));
    page.sample("tasks_total", "{status=\"partial\"}", tally.partial.load(Relaxed));
    page.sample("tasks_total", "{status=\"failed\"}", tally.failed.load(Relaxed));
    page.family("attachments_total", "counter", "Attachments that ended.");
    page.sample("attachments_total", "{status=\"stored\",code=\"\"}", tally.stored.load(Relaxed));
    page.sample("attachments_total", "{status=\"adopted\",code=\"\"}", tally.adopted.load(Relaxed));
    for (code, failed) in Code::ALL.iter().zip(&tally.failed_by_code) {
        let labels = format!("{{status=\"failed\",code=\"{code}\"}}");
        page.sample("attachments_total", &labels, failed.load(Relaxed));
    }
    page.family("bytes_total", "counter", "Bytes of bodies.");
    page.sample("bytes_total", "{direction=\"in\"}", tally.bytes.load(Relaxed));
    page.family("retries_total", "counter", "Tries of attachments after the first.");
    for (code, retries) in Code::ALL.iter().zip(&tally.retries_by_code).filter(|(code, _)| code.is_transient()) {
        page.sample("retries_total", &format!("{{code=\"{code}\"}}"), retries.load(Relaxed));
    }
    page.family("dead_letters_total", "counter", "Messages that went to the dead-letter queue.");
    for (reason, dead) in Reason::ALL.iter().zip(&tally.dead_by_reason) {
        page.sample("dead_letters_total", &format!("{{reason=\"{}\"}}", reason.as_str()), dead.load(Relaxed));
    }
    page.family("in_flight", "gauge", "What is worked on now.");
    page.sample("in_flight", "{kind=\"message\"}", tally.in_hand.load(Relaxed));
    page.sample("in_flight", "{kind=\"attachment\"}", tally.in_flight.load(Relaxed));
    page.sample("in_flight", "{kind=\"webhook\"}", tally.webhooks.in_hand.load(Relaxed));
    page.family("buffered_bytes", "gauge", "Bytes of parts in memory.");
    page.sample("buffered_bytes", "", running.pools.as_ref().map_or(0, |pools| pools.parts.held()));
    page.family("webhooks_total", "counter", "Tries of webhooks that were sent, and deliveries that were given up.");
    page.sample("webhooks_total", "{result=\"delivered\"}", tally.webhooks.delivered.load(Relaxed));
    page.sample("webhooks_total", "{result=\"failed\"}", tally.webhooks.failed.load(Relaxed));
    page.sample("webhooks_total", "{result=\"exhausted\"}", tally.webhooks.exhausted.load(Relaxed));
    page.family("integrations_broken", "gauge", "Integrations whose last check found something wrong.");
    for (cloud, broken) in Cloud::GRANTING.iter().zip(&tally.integrations_broken) {
        let labels = format!("{{cloud=\"{}\"}}", cloud.as_str());
        page.sample("integrations_broken", &labels, broken.load(Relaxed));
    }
    if let Some(depth) = webhooks {
        page.family("webhook_backlog", "gauge", "Webhooks that are still to be delivered.");
        page.sample("webhook_backlog", "", depth.total());
    }
    if let Some(depth) = tasks {
        page.family("queue_depth", "gauge", "Messages of the task queue: visible, leased and delayed.");
        page.sample("queue_depth", "", depth.total());
    }
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP longshore_{name} {help}\n# TYPE longshore_{name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        self.line(format_args!("longshore_{name}{labels} {value}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("text takes everything");
    }
}
