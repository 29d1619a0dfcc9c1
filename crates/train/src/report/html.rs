//! The page around a report: text that may stand in HTML, tables of facts, the style.

/// Text as it may stand in HTML, inside elements and quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Control characters are not allowed in HTML.
            c if c.is_control() && c != '\n' && c != '\t' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A page with a title (text) and a body (HTML). The policy forbids whatever is not in the file.
pub(super) fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\
         <link rel=\"icon\" href=\"data:,\">\
         <title>{}</title><style>{}</style></head>\n<body>{body}</body></html>\n",
        escape(title),
        include_str!("style.css")
    )
}

/// A table of names and values.
pub(super) fn fact_table(facts: &[(&str, String)]) -> String {
    let row = |(name, value): &(&str, String)| {
        format!("<tr><th>{}</th><td>{}</td></tr>", escape(name), escape(value))
    };
    let rows: String = facts.iter().map(row).collect();
    format!("<div class=\"scroll\"><table class=\"facts\">{rows}</table></div>")
}

/// A number in few characters: `0.003`, `12.5`, `1e-7`, `60000`.
pub(super) fn short(x: f64) -> String {
    let size = x.abs();
    if x == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e6).contains(&size) {
        let text = format!("{x:.2e}");
        let Some((digits, exponent)) = text.split_once('e') else { return text };
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        return format!("{digits}e{exponent}");
    }
    let places = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{x:.places$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let text = "<img src=x onerror=\"alert('1')\"> & \u{7}";
        let expected = "&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt; &amp; \u{fffd}";
        assert_eq!(escape(text), expected);
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 0.003, 12.5, 1e-7, 60_000.0, 0.25, -1.0 / 3.0, 1.5e9, 1000.0];
        let expected = ["0", "0.003", "12.5", "1e-7", "60000", "0.25", "-0.3333", "1.5e9", "1000"];
        assert_eq!(numbers.map(short), expected);
    }
}
