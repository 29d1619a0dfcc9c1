//! The options in `#[module(…)]`.

use syn::{Attribute, Error, Path, Result, Token, meta::ParseNestedMeta};

/// The options of a type.
pub(crate) struct TypeOptions {
    /// Where `Module` and `Visitor` are.
    pub path: Path,
}

/// The options of a field.
#[derive(Default)]
pub(crate) struct FieldOptions {
    /// It is not shown to visitors.
    pub skip: bool,
}

impl TypeOptions {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<TypeOptions> {
        let mut options = TypeOptions { path: syn::parse_quote!(::gradus::nn) };
        each(attributes, |meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("unknown option: a type takes `#[module(crate = path)]`"));
            }
            meta.input.parse::<Token![=]>()?;
            options.path = meta.input.call(Path::parse_mod_style)?;
            Ok(())
        })?;
        Ok(options)
    }
}

impl FieldOptions {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<FieldOptions> {
        let mut options = FieldOptions::default();
        each(attributes, |meta| {
            if !meta.path.is_ident("skip") {
                return Err(meta.error("unknown option: a field takes `#[module(skip)]`"));
            }
            options.skip = true;
            Ok(())
        })?;
        Ok(options)
    }
}

/// Refuses options where none can stand.
pub(crate) fn none_on_variant(attributes: &[Attribute]) -> Result<()> {
    match attributes.iter().find(|a| a.path().is_ident("module")) {
        Some(found) => Err(Error::new_spanned(
            found,
            "a variant takes no `#[module(…)]`: put `skip` on its fields, `crate` on the enum",
        )),
        None => Ok(()),
    }
}

fn each(
    attributes: &[Attribute],
    mut option: impl FnMut(ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    let mut ours = attributes.iter().filter(|a| a.path().is_ident("module"));
    ours.try_for_each(|a| a.parse_nested_meta(&mut option))
}
