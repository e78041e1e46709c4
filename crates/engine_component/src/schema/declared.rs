//! Whether a value can be what a document's field is declared as.
//!
//! A document's types are text, for people. Of those that everybody uses it is known what fits: a value that
//! does not would be stored, and then stop every system that reads it. Whatever else is declared, a user's
//! own types above all, is taken as it comes.

use serde_json::Value;

use super::json::{Problem, to_float};

/// # Errors
/// When the value fits no value of the type; what was expected, and where.
pub(super) fn check(declared: &str, value: &Value) -> Result<(), Problem> {
    if is_special(value) {
        return Ok(());
    }
    let (name, inside) = split(declared);
    let fits = match name {
        "Option" => return if value.is_null() { Ok(()) } else { check(inside.trim(), value) },
        "Box" | "Arc" | "Rc" if inside != "str" => return check(inside.trim(), value),
        "String" | "&str" | "Box" | "Arc" | "Rc" => value.is_string(),
        "char" => value.as_str().is_some_and(|text| text.chars().count() == 1),
        "bool" => value.is_boolean(),
        "f32" | "f64" => to_float(value).is_some(),
        "u8" => whole(value, 0, u8::MAX.into()),
        "u16" => whole(value, 0, u16::MAX.into()),
        "u32" => whole(value, 0, u32::MAX.into()),
        "u64" | "usize" | "Entity" => whole(value, 0, u64::MAX.into()),
        "i8" => whole(value, i8::MIN.into(), i8::MAX.into()),
        "i16" => whole(value, i16::MIN.into(), i16::MAX.into()),
        "i32" => whole(value, i32::MIN.into(), i32::MAX.into()),
        "i64" | "isize" => whole(value, i64::MIN.into(), i64::MAX.into()),
        "Vec" | "VecDeque" | "BTreeSet" | "HashSet" => return items(inside, value, declared),
        "[" => {
            let (item, count) = inside.rsplit_once(';').unwrap_or((inside, ""));
            let count = count.trim().parse::<usize>().ok();
            let fits = value.as_array().is_some_and(|items| count.is_none_or(|count| items.len() == count));
            return if fits { items(item, value, declared) } else { Err(Problem::new(declared, value)) };
        }
        "BTreeMap" | "HashMap" => {
            let Some(map) = value.as_object() else { return Err(Problem::new(declared, value)) };
            let Some(item) = inside.strip_prefix("String,") else { return Ok(()) };
            return map
                .iter()
                .try_for_each(|(key, value)| check(item.trim(), value).map_err(|problem| problem.inside(key)));
        }
        _ => true,
    };
    if fits { Ok(()) } else { Err(Problem::new(declared, value)) }
}

/// A form for what JSON has not: `{"$bin": …}`.
fn is_special(value: &Value) -> bool {
    value.as_object().is_some_and(|map| map.len() == 1 && map.keys().all(|key| key.starts_with('$')))
}

/// `Vec<u8>` is `Vec` and `u8`; `[u8; 4]` is `[` and `u8; 4`; paths lose what is before the last name.
fn split(declared: &str) -> (&str, &str) {
    if let Some(inside) = declared.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return ("[", inside);
    }
    let (path, inside) = match declared.split_once('<') {
        Some((path, inside)) => (path, inside.strip_suffix('>').unwrap_or(inside)),
        None => (declared, ""),
    };
    (path.rsplit("::").next().unwrap_or(path).trim(), inside)
}

fn items(item: &str, value: &Value, declared: &str) -> Result<(), Problem> {
    let Some(items) = value.as_array() else { return Err(Problem::new(declared, value)) };
    let item = item.trim();
    items
        .iter()
        .enumerate()
        .try_for_each(|(at, value)| check(item, value).map_err(|problem| problem.inside(&format!("[{at}]"))))
}

fn whole(value: &Value, min: i128, max: i128) -> bool {
    let number = value.as_u64().map(i128::from).or_else(|| value.as_i64().map(i128::from));
    number.is_some_and(|number| (min..=max).contains(&number))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_known_not_to_fit_is_refused() {
        for (declared, fits, not) in [
            ("String", json!("a"), json!(5)),
            ("std::string::String", json!(""), json!(null)),
            ("Option<String>", json!(null), json!(1)),
            ("Option<u8>", json!(255), json!(256)),
            ("i16", json!(-32768), json!(-32769)),
            ("u64", json!(u64::MAX), json!(-1)),
            ("f32", json!(1), json!(true)),
            ("f64", json!("NaN"), json!("much")),
            ("bool", json!(false), json!(0)),
            ("char", json!("ü"), json!("üü")),
            ("Entity", json!({"$entity": 7}), json!("seven")),
            ("Vec<u8>", json!([1, 2]), json!([1, 300])),
            ("Vec<Option<String>>", json!(["a", null]), json!(["a", [1]])),
            ("[f32; 2]", json!([0.5, 1]), json!([0.5])),
            ("[u8; 2]", json!([0, 1]), json!([0, "1"])),
            ("HashMap<String, Vec<u8>>", json!({"a": [1]}), json!({"a": 1})),
            ("BTreeMap<u8, String>", json!({"1": "x"}), json!([1])),
            ("Box<str>", json!("a"), json!(["a"])),
        ] {
            assert!(check(declared, &fits).is_ok(), "{declared}: {fits}");
            assert!(check(declared, &not).is_err(), "{declared}: {not}");
        }
        for anything in [json!(5), json!("a"), json!({"a": [1]}), json!(null)] {
            assert!(check("garage::Colour", &anything).is_ok());
            assert!(check("(u8, u8)", &anything).is_ok());
        }
    }
}
