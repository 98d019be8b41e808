//! What peers call themselves and their rooms, so that no two that look alike are different: every
//! character of the Unicode category C is taken out, be it for control, for the direction of writing, or of
//! no width, and whatever else nobody sees. So nothing that is in a name can move the cursor of who reads it.

use std::borrow::Cow;

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// A name without what is taken out. It may be empty then.
#[must_use]
pub fn clean(name: &str) -> Cow<'_, str> {
    let is_seen = |c: &char| keeps(*c) && !is_invisible(*c);
    match name.chars().all(|c| is_seen(&c)) {
        true => name.into(),
        false => name.chars().filter(is_seen).collect(),
    }
}

/// Whether a character is not seen although it is of no category for that: those with the property
/// Default_Ignorable_Code_Point of Unicode 16 that are not of category C, those that end a line or a paragraph, and
/// two that are blank and no white space.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2028}'..='\u{2029}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{16fe4}'
            | '\u{e0100}'..='\u{e01ef}'
    )
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
        assert_eq!(clean("b\u{34f}o\u{fe0f}b\u{3164}\u{2800}\u{e0100}\u{2028}"), "bob");
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
