//! What peers call themselves and their rooms, so that no two that look alike are different: every
//! character of the Unicode category C is taken out, be it for control, for the direction of writing, or of
//! no width. So nothing that is in a name can move the cursor of who reads it.

use std::borrow::Cow;

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// A name without what is taken out. It may be empty then.
#[must_use]
pub fn clean(name: &str) -> Cow<'_, str> {
    match name.chars().all(keeps) {
        true => name.into(),
        false => name.chars().filter(|c| keeps(*c)).collect(),
    }
}

/// Whether a character survives cleaning: all but control, format, private and unassigned ones.
#[must_use]
pub fn keeps(c: char) -> bool {
    match c {
        ' '..='~' => true,
        '\0'..='\u{9f}' => false,
        // Most letters of most players: Latin, Cyrillic, signs as in prose, kana, Han, Hangul. To look a
        // character up takes ten times as long, and a peer may send thousands.
        '\u{a0}'..='\u{ac}' | '\u{ae}'..='\u{377}' | '\u{400}'..='\u{52f}' => true,
        '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{20a0}'..='\u{20c0}' => true,
        '\u{3099}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' => true,
        _ => c.general_category_group() != GeneralCategoryGroup::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_goes() {
        assert_eq!(clean("bob\u{200b}"), "bob", "no width");
        assert_eq!(clean("\u{202e}bob\u{2066}\u{feff}\t\u{85}"), "bob");
        assert_eq!(clean("\u{200d}\0"), "");
        assert!(matches!(clean("J\u{fc}rgen \u{1f600}"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_not_looked_up_is_as_if_it_were() {
        for c in '\0'..=char::MAX {
            let stays = c.general_category_group() != GeneralCategoryGroup::Other;
            assert_eq!(keeps(c), stays, "{}", c.escape_unicode());
        }
    }
}
