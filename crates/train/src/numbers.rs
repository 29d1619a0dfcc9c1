//! Numbers as people read them.

/// A number with its digits in groups of three: `60,000`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number in few characters: `0.003`, `12.5`, `1e-7`, `60000`.
pub fn short(x: f64) -> String {
    short_to(x, 4)
}

/// With so many digits.
fn short_to(x: f64, digits: i32) -> String {
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
    let places = (digits - 1 - size.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{x:.places$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A time in seconds: `12 ms`, `2.4 s`, `3 min 5 s`, `2 h 7 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds > 0.0 && seconds < 0.9995 => format!("{} ms", short_to(1000.0 * seconds, 3)),
        0..60 => format!("{} s", short_to(seconds, 3)),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        let text = [0, 999, 1000, 60_000, 1_234_567].map(thousands);
        assert_eq!(text, ["0", "999", "1,000", "60,000", "1,234,567"]);
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 0.003, 12.5, 1e-7, 60_000.0, 0.25, -1.0 / 3.0, 1.5e9, 1000.0];
        let expected = ["0", "0.003", "12.5", "1e-7", "60000", "0.25", "-0.3333", "1.5e9", "1000"];
        assert_eq!(numbers.map(short), expected);
    }

    #[test]
    fn times_are_those_of_a_clock() {
        let text = [0.0, 0.0123, 7.478, 12.0, 59.44, 59.7, 185.0, 7620.0].map(duration);
        let clock =
            ["0 s", "12.3 ms", "7.48 s", "12 s", "59.4 s", "1 min 0 s", "3 min 5 s", "2 h 7 min"];
        assert_eq!(text, clock);
    }
}
