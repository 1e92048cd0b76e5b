//! The run's report as one self-contained page: no script, no outside resource.

use std::fmt::Write;

use domain::events::{Summary, Verdict};
use domain::heard::{Acknowledgement, Arrival};
use domain::items::Verified;
use domain::names::readable;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;\
padding:0 1rem;color:#1c1e21}h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .6rem;\
border-bottom:1px solid #e3e5e8;vertical-align:top}td.n{text-align:right;\
font-variant-numeric:tabular-nums}code{font-size:.85em;word-break:break-all}\
.ok{color:#116329}.bad{color:#a40e26}.scroll{overflow-x:auto}";

/// The page.
pub(crate) fn page(summary: &Summary) -> String {
    let title = format!("{} · run {}", escape(&summary.partner), escape(&summary.run));
    let (class, words) = verdict(summary.verdict);
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head><body>\
         <h1>{title}</h1><p class=\"{class}\"><strong>{words}</strong></p>"
    );
    if let Some(error) = &summary.error {
        push(&mut page, format_args!("<p class=\"bad\">{}</p>", escape(&error.error_message())));
    }
    for warning in &summary.warnings {
        push(&mut page, format_args!("<p>Warning: {}</p>", escape(warning)));
    }
    totals(&mut page, summary);
    expected(&mut page, summary);
    failed(&mut page, summary);
    heard(&mut page, summary);
    receipts(&mut page, summary);
    for name in &summary.unaccounted {
        push(&mut page, format_args!("<p class=\"bad\">Unaccounted: {}</p>", escape(name)));
    }
    page.push_str("</body></html>\n");
    page
}

const fn verdict(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Delivered => ("ok", "Everything was delivered."),
        Verdict::Nothing => ("ok", "There was nothing new to deliver."),
        Verdict::Incomplete => ("bad", "Not everything was delivered."),
        Verdict::Misconfigured => ("bad", "The partner's setup needs mending."),
        Verdict::Unacknowledged => (
            "bad",
            "Everything was delivered, and the partner did not say in time that it arrived.",
        ),
        Verdict::Unaccounted => ("bad", "An item ended in no final place."),
    }
}

fn totals(page: &mut String, summary: &Summary) {
    let totals = &summary.totals;
    let rows = [
        ("Source files that matched", totals.matched),
        ("Already delivered by an earlier run", totals.already_delivered),
        ("Still being written", totals.unsettled),
        ("Links left alone", totals.left_alone),
        ("Files taken", totals.discovered),
        ("Bytes taken", totals.discovered_bytes),
        ("Members found in them", totals.members),
        ("Members delivered", totals.delivered),
        ("Records delivered", totals.records),
        ("Files and members quarantined", totals.failed),
    ];
    page.push_str("<h2>Totals</h2><table>");
    for (label, value) in rows {
        push(page, format_args!("<tr><td>{label}</td><td class=\"n\">{value}</td></tr>"));
    }
    page.push_str("</table>");
}

/// Files that have to come.
fn expected(page: &mut String, summary: &Summary) {
    if summary.expected.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Expected files</h2><div class=\"scroll\"><table><tr><th>Files</th><th>For</th>\
         <th>Due</th><th>Came</th><th>State</th></tr>",
    );
    for row in &summary.expected {
        let class = match row.state {
            Arrival::Late | Arrival::Missing => "bad",
            Arrival::NotExpected | Arrival::Pending | Arrival::OnTime => "ok",
        };
        push(
            page,
            format_args!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{} of {}</td>\
                 <td class=\"{class}\">{}</td></tr>",
                escape(&row.pattern),
                row.date,
                row.due,
                row.found,
                row.files,
                row.state.words()
            ),
        );
    }
    page.push_str("</table></div>");
}

/// What the partner was told, and whether it answered.
fn heard(page: &mut String, summary: &Summary) {
    if let Some(manifest) = &summary.manifest {
        let path = escape(&manifest.remote_path);
        push(page, format_args!("<p>Manifest delivered as {path}.</p>"));
    }
    let Some(acknowledged) = &summary.acknowledged else { return };
    let (class, words) = match acknowledged.state {
        Acknowledgement::Pending => ("ok", "The partner still has time to acknowledge, until "),
        Acknowledgement::Received => ("ok", "The partner acknowledged. It had time until "),
        Acknowledgement::Missing => ("bad", "The partner did not acknowledge. It had time until "),
    };
    push(page, format_args!("<p class=\"{class}\">{words}{}.</p>", acknowledged.deadline));
}

fn failed(page: &mut String, summary: &Summary) {
    if summary.failed.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Quarantined</h2><div class=\"scroll\"><table><tr><th>What</th><th>Stage</th>\
         <th>Class</th><th>Why</th></tr>",
    );
    for failed in &summary.failed {
        push(
            page,
            format_args!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(&failed.label()),
                escape(&failed.stage),
                failed.failure.class,
                escape(&failed.failure.error_message())
            ),
        );
    }
    page.push_str("</table></div>");
}

fn receipts(page: &mut String, summary: &Summary) {
    if summary.receipts.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Receipts</h2><div class=\"scroll\"><table><tr><th>Source</th><th>Member</th>\
         <th>Bytes</th><th>Records</th><th>Delivered as</th><th>Proven by</th>\
         <th>SHA-256 of the plaintext</th></tr>",
    );
    for receipt in &summary.receipts {
        let records = receipt.records.map_or_else(|| "–".to_owned(), |n| n.to_string());
        push(
            page,
            format_args!(
                "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{records}</td>\
                 <td>{}</td><td>{}</td><td><code>{}</code></td></tr>",
                escape(&readable(&receipt.file.path)),
                escape(&receipt.member),
                receipt.bytes,
                escape(&receipt.remote_path),
                proven(receipt.verified),
                escape(&receipt.sha256)
            ),
        );
    }
    page.push_str("</table></div>");
}

const fn proven(verified: Verified) -> &'static str {
    match verified {
        Verified::ReadBack => "read back",
        Verified::ServerHash => "server's hash",
        Verified::Size => "size",
    }
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _never_fails = page.write_fmt(text);
}

/// Names come from partners: nothing of them may become markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_become_markup() {
        assert_eq!(escape("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
    }
}
