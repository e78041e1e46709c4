//! The options in `#[component(…)]`, `#[event(…)]` and `#[command(…)]`.

use proc_macro2::{TokenStream, TokenTree};
use syn::meta::ParseNestedMeta;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Ident, LitInt, LitStr, Path, Result, Token, Type};

/// Options of a type.
#[derive(Default)]
pub(crate) struct TypeOptions {
    pub(crate) name: Option<LitStr>,
    pub(crate) document: bool,
    pub(crate) version: u32,
    pub(crate) finite: bool,
    /// The variant of `Access`, where it isn't open.
    pub(crate) access: Option<Ident>,
    /// Of events and commands: the function that looks at a value from outside.
    pub(crate) validate: Option<Path>,
    /// Of commands: what whoever gave it is told.
    pub(crate) answer: Option<Type>,
}

impl TypeOptions {
    pub(crate) fn read(attributes: &[Attribute], word: &str) -> Result<Self> {
        let mut options = Self { version: 1, ..Self::default() };
        let mut seen = Vec::new();
        each(attributes, word, &mut seen, |meta, option| {
            match option {
                "name" => options.name = Some(name(&meta.value()?.parse()?)?),
                "document" => options.document = true,
                "finite" => options.finite = true,
                "read_only" | "private" if options.access.is_some() => {
                    return Err(meta.error("`private` is `read_only` already: give one of them"));
                }
                "read_only" if word != "command" => options.access = Some(Ident::new("ReadOnly", meta.path.span())),
                "private" if word != "command" => options.access = Some(Ident::new("Private", meta.path.span())),
                "version" => options.version = meta.value()?.parse::<LitInt>()?.base10_parse()?,
                "validate" if word != "component" => options.validate = Some(meta.value()?.parse()?),
                "answer" if word == "command" => options.answer = Some(meta.value()?.parse()?),
                _ => {
                    let more = match word {
                        "component" => "`finite`, `read_only`, `private` or `version = …`",
                        "command" => "`finite`, `version = …`, `validate = …` or `answer = …`",
                        _ => "`finite`, `read_only`, `private`, `version = …` or `validate = …`",
                    };
                    return Err(
                        meta.error(format!("unknown option: use `name = \"…\"`, `document`, {more} in #[{word}(…)]"))
                    );
                }
            }
            Ok(())
        })?;
        Ok(options)
    }
}

/// Options of a field.
#[derive(Default)]
pub(crate) struct FieldOptions {
    pub(crate) default: Option<TokenStream>,
    pub(crate) was: Option<LitStr>,
    /// Of a command: says which aggregate it is for.
    pub(crate) key: bool,
}

impl FieldOptions {
    pub(crate) fn read(attributes: &[Attribute], word: &str) -> Result<Self> {
        let mut options = Self::default();
        let mut seen = Vec::new();
        each(attributes, word, &mut seen, |meta, option| {
            match option {
                "default" => options.default = Some(meta.value()?.call(until_comma)?),
                "was" => options.was = Some(field_name(&meta.value()?.parse()?)?),
                "key" if word == "command" => options.key = true,
                _ => {
                    let known = if word == "command" { "`key`, `default = …`" } else { "`default = …`" };
                    return Err(
                        meta.error(format!("unknown option: use {known} or `was = \"…\"` in #[{word}(…)] on a field"))
                    );
                }
            }
            Ok(())
        })?;
        Ok(options)
    }
}

fn each(
    attributes: &[Attribute],
    word: &str,
    seen: &mut Vec<String>,
    mut read: impl FnMut(&ParseNestedMeta<'_>, &str) -> Result<()>,
) -> Result<()> {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(word)) {
        attribute.parse_nested_meta(|meta| {
            let option = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            if seen.contains(&option) {
                return Err(meta.error(format!("`{option}` is given twice")));
            }
            read(&meta, &option)?;
            seen.push(option);
            Ok(())
        })?;
    }
    Ok(())
}

/// An expression as its tokens, up to the next option.
fn until_comma(input: ParseStream<'_>) -> Result<TokenStream> {
    let mut tokens = TokenStream::new();
    while !input.is_empty() && !input.peek(Token![,]) {
        tokens.extend([input.parse::<TokenTree>()?]);
    }
    if tokens.is_empty() { Err(input.error("a value is expected")) } else { Ok(tokens) }
}

/// The grammar of `engine_component::name`, which this crate cannot depend on.
fn name(name: &LitStr) -> Result<LitStr> {
    let text = name.value();
    if text.len() <= 128 && text.split('.').all(is_token) {
        return Ok(name.clone());
    }
    Err(Error::new(
        name.span(),
        format!(
            "`{text}` is no name: use tokens of A-Z a-z 0-9 _ with single dots between them, 128 bytes at the most, as in \"physics.Velocity\""
        ),
    ))
}

fn field_name(name: &LitStr) -> Result<LitStr> {
    if is_token(&name.value()) {
        Ok(name.clone())
    } else {
        Err(Error::new(name.span(), "the former name of the field is expected: A-Z a-z 0-9 _"))
    }
}

pub(crate) fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
