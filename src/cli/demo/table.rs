//! The stories as a table: who, what happened, what came of it.

use super::stories::Played;

/// Widths of the columns, in characters.
const WIDTHS: [usize; 3] = [18, 32, 66];

/// What goes on from the line above.
const INDENT: &str = "  ";

/// The table, and what to say of the stories that came out otherwise.
pub(super) fn told(played: &[Played]) -> String {
    let head = ["system", "what happened", "what came of it"].map(|text| vec![text.to_owned()]);
    let mut lines = row(&head);
    for story in played {
        let came = story.came.iter().flat_map(|line| {
            let parts = wrapped(line, WIDTHS[2] - INDENT.len()).into_iter().enumerate();
            parts.map(|(number, part)| if number == 0 { part } else { format!("{INDENT}{part}") })
        });
        lines.extend(row(&[
            wrapped(story.system, WIDTHS[0]),
            wrapped(story.happened, WIDTHS[1]),
            came.collect(),
        ]));
    }
    let mut wrong = played.iter().filter(|story| !story.is_as_it_should_be()).peekable();
    let help = wrong.peek().is_some().then_some(
        "Look at its mappings, and at its newest leads in the registry: each says why it went where it went.",
    );
    for story in wrong {
        lines.push(format!("\nThe story of {} did not come out as it should. Expected:", story.system));
        lines.extend(story.should.iter().map(|line| format!("{INDENT}{line}")));
    }
    lines.extend(help.map(str::to_owned));
    lines.join("\n")
}

/// The lines of cells side by side, each as high as it is.
fn row(cells: &[Vec<String>; 3]) -> Vec<String> {
    let height = cells.iter().map(Vec::len).max().unwrap_or_default();
    let line = |number: usize| {
        let parts = cells.iter().zip(WIDTHS).map(|(cell, width)| {
            let part = cell.get(number).map(String::as_str).unwrap_or_default();
            format!("{part:width$}  ")
        });
        parts.collect::<String>().trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

/// Broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_story_that_came_out_otherwise_is_named() {
        let story = |came: &str| Played {
            system: "Metabot",
            happened: "an order is shipped",
            came: vec![came.to_owned()],
            should: &["a message"],
        };
        let good = told(&[story("a message")]);
        assert!(
            good.ends_with("\nMetabot             an order is shipped               a message"),
            "{good}"
        );
        let bad = told(&[story("nothing")]);
        let expected =
            "\nThe story of Metabot did not come out as it should. Expected:\n  a message\nLook at";
        assert!(bad.contains(expected), "{bad}");
        assert_eq!(story("a message").json().get("should"), None);
        assert_eq!(story("nothing").json()["should"], json!(["a message"]));
    }

    #[test]
    fn cells_are_broken_between_words_and_stand_side_by_side() {
        assert_eq!(wrapped("ab cd ef", 5), ["ab cd", "ef"]);
        assert_eq!(wrapped("abcdefgh ij", 3), ["abcdefgh", "ij"]);
        let lines = row(&[vec!["a".into()], vec![], vec!["їжак".into(), "c".into()]]);
        assert_eq!(lines, [format!("a{:53}їжак", ""), format!("{:54}c", "")]);
    }
}
