// SPDX-License-Identifier: GPL-2.0-only

//! Selects tests by their names.

/// The text that selects tests.
#[derive(Clone)]
pub struct Filter {
    text: String,
    /// The group that the text begins with, if any. It excludes the tests of other groups.
    group: Option<&'static str>,
}

impl Filter {
    pub fn new(text: Option<String>, mut groups: impl Iterator<Item = &'static str>) -> Self {
        let text = text.unwrap_or_default();
        let group = groups.find(|group| {
            text.strip_prefix(group)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        Self { text, group }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn group(&self) -> Option<&'static str> {
        self.group
    }

    /// Whether a test is selected.
    ///
    /// A name that ends in a slash stands for tests below it, whose names are known only when they
    /// run. They may be selected if the text is part of that name, or continues after it.
    pub fn wants(&self, name: &str) -> bool {
        let goes_on = |end: &str| end.ends_with('/') && self.text.starts_with(end);
        match self.group {
            Some(_) => name.starts_with(&self.text) || goes_on(name),
            None => {
                name.contains(&self.text)
                    || name
                        .char_indices()
                        .any(|(start, _)| goes_on(&name[start..]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;

    fn filter(text: &str) -> Filter {
        Filter::new(Some(text.to_owned()), ["boot", "bench"].into_iter())
    }

    #[test]
    fn a_group_that_is_named_is_the_only_one() {
        for text in ["bench", "bench/programs"] {
            assert_eq!(filter(text).group(), Some("bench"), "{text}");
            assert!(filter(text).wants("bench/programs"), "{text}");
            assert!(!filter(text).wants("crates/tool/bench/programs"), "{text}");
        }
        assert_eq!(filter("benchmark").group(), None);
    }

    #[test]
    fn tests_below_a_name_are_found_from_there() {
        for text in ["kunit", "boot/y-kunit/digest/empty", "y-kunit/digest"] {
            assert!(filter(text).wants("boot/y-kunit/"), "{text}");
        }
        for text in ["digest", "boot/n-kunit/digest", "n-kunit/digest"] {
            assert!(!filter(text).wants("boot/y-kunit/"), "{text}");
        }
    }
}
