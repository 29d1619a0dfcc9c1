//! A first loss that is far from that of chance: the inputs, the initial weights or the loss are not what they
//! should be.

use super::{Finding, Subject};

/// How much more than chance a first loss may be: logits whose standard deviation is 1 cost ½.
const MORE: f64 = 1.0;
/// Which part of chance it may be at least.
const LESS: f64 = 0.5;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(trial) = &subject.trial else { return Vec::new() };
    judge(trial.loss, subject.chance(), subject.loss_line()).into_iter().collect()
}

/// What is odd about a first loss, where chance has the other.
fn judge(loss: f64, chance: Option<f64>, line: String) -> Option<Finding> {
    if !loss.is_finite() {
        let what = format!("the loss of the first batch is {loss}");
        return Some(Finding::error(
            line,
            what,
            "check the scale of the inputs and of the targets",
        ));
    }
    // Negative is no cross-entropy at all, which another check says.
    let chance = chance.filter(|_| loss >= 0.0)?;
    let what = format!("the loss of the first batch is {loss:.2}; chance would be {chance:.2}");
    let remedy = match loss {
        _ if loss > chance + MORE => {
            "the first predictions are too sure: scale the inputs to about 0 and 1 (`mean` and `std` of \
             [data]), or start with smaller weights"
        }
        _ if loss < LESS * chance => {
            "an untrained model cannot know that much: check that the inputs do not hold the label, and \
             that labels differ"
        }
        _ => return None,
    };
    Some(Finding::warning(line, what, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_loss_is_about_that_of_chance() {
        let chance = 10f64.ln();
        let of =
            |loss| judge(loss, Some(chance), "a.toml, line 9".to_owned()).map(|f| f.to_string());
        for usual in [chance - 0.3, chance, chance + 0.5] {
            assert_eq!(of(usual), None);
        }
        assert_eq!(
            of(0.2).unwrap(),
            "warning: a.toml, line 9: the loss of the first batch is 0.20; chance would be 2.30; an \
             untrained model cannot know that much: check that the inputs do not hold the label, and that \
             labels differ"
        );
        assert!(of(40.0).unwrap().contains("too sure"));
        assert_eq!(
            of(f64::NAN).unwrap(),
            "error: a.toml, line 9: the loss of the first batch is NaN; check the scale of the inputs and \
             of the targets"
        );
        assert_eq!(judge(1e6, None, String::new()), None);
    }
}
