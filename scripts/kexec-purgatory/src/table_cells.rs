// SPDX-License-Identifier: GPL-2.0-only

//! The cells of tables in Markdown and reStructuredText.

/// The rows of the first table in `page` that has `text`, in Markdown, without the line below the
/// header.
pub fn markdown(page: &str, text: &str) -> Option<Vec<Vec<String>>> {
    let table = paragraph(page, '|', text)?;
    let rows = table.lines().filter(|line| !line.starts_with("| ---"));
    Some(
        rows.map(|line| cells(line).map(str::to_owned).collect())
            .collect(),
    )
}

/// The rows of the first table in `page` that has `text`, in the form of reStructuredText with a
/// line around each cell. A cell that is too long for its column continues in the next line.
pub fn grid(page: &str, text: &str) -> Option<Vec<Vec<String>>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut begins = true;
    for line in paragraph(page, '+', text)?.lines() {
        if line.starts_with('+') {
            begins = true;
            continue;
        }
        if begins {
            rows.push(cells(line).map(str::to_owned).collect());
        } else if let Some(row) = rows.last_mut() {
            for (cell, more) in row
                .iter_mut()
                .zip(cells(line))
                .filter(|(_, more)| !more.is_empty())
            {
                *cell += " ";
                *cell += more;
            }
        }
        begins = false;
    }
    Some(rows)
}

/// The first paragraph that begins with `mark` and has `text`.
fn paragraph<'a>(page: &'a str, mark: char, text: &str) -> Option<&'a str> {
    page.split("\n\n")
        .find(|paragraph| paragraph.starts_with(mark) && paragraph.contains(text))
}

fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.trim_matches('|').split('|').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::{grid, markdown};

    #[test]
    fn the_table_with_a_text_is_found() {
        let page = "Text.\n\n| a | b |\n| --- | --- |\n| c | d |\n\n| e | `f` |\n| --- | --- |\n| g | h |\n\nMore.";
        assert_eq!(markdown(page, "`f`").unwrap(), [["e", "`f`"], ["g", "h"]]);
        assert_eq!(markdown(page, "i"), None);
    }

    #[test]
    fn rows_of_a_grid_may_have_several_lines() {
        let page =
            "Text.\n\n+--+\n| a | b |\n+==+\n| c | d |\n| e | |\n+--+\n| f | g |\n+--+\n\nMore.";
        assert_eq!(
            grid(page, "| f").unwrap(),
            [["a", "b"], ["c e", "d"], ["f", "g"]]
        );
        assert_eq!(grid(page, "h"), None);
    }
}
