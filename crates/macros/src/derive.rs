//! From a type's definition to its `impl Module`.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Data, DeriveInput, Error, Field, Fields, Generics, Ident, Member, Path, Result, Variant,
    parse_quote,
};

use crate::options::{FieldOptions, TypeOptions, none_on_variant};

pub(crate) fn module(input: &DeriveInput) -> Result<TokenStream> {
    let path = TypeOptions::parse(&input.attrs)?.path;
    let body = match &input.data {
        Data::Struct(data) => visit_struct(&data.fields)?,
        Data::Enum(data) => {
            let arms: Vec<TokenStream> =
                data.variants.iter().map(|v| visit_variant(&path, v)).collect::<Result<_>>()?;
            // An empty enum has no value to match by reference.
            let value = if arms.is_empty() { quote!(*self) } else { quote!(self) };
            quote!(match #value { #(#arms)* })
        }
        Data::Union(data) => {
            let message =
                "a union cannot be a module, as nobody knows which field it holds: use an enum";
            return Err(Error::new(data.union_token.span, message));
        }
    };
    let generics = with_bounds(input, &path)?;
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    let name = &input.ident;
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #path::Module for #name #ty_generics #where_clause {
            fn visit(&self, __visitor: &mut #path::Visitor<'_>) {
                #body
            }
        }
    })
}

fn visit_struct(fields: &Fields) -> Result<TokenStream> {
    fields
        .iter()
        .enumerate()
        .map(|(i, field)| {
            let member = member(field, i);
            visit_field(field, i, &quote!(&self.#member))
        })
        .collect()
}

fn visit_variant(path: &Path, variant: &Variant) -> Result<TokenStream> {
    none_on_variant(&variant.attrs)?;
    let name = &variant.ident;
    if let Fields::Unnamed(fields) = &variant.fields
        && let [field] = &fields.unnamed.iter().collect::<Vec<_>>()[..]
    {
        return Ok(if FieldOptions::parse(&field.attrs)?.skip {
            quote!(Self::#name(_) => {})
        } else {
            quote_spanned!(at(field)=>
                Self::#name(__field0) => #path::Module::visit(__field0, __visitor),)
        });
    }
    let mut pattern = TokenStream::new();
    let mut body = TokenStream::new();
    for (i, field) in variant.fields.iter().enumerate() {
        let (member, bound) = (member(field, i), format_ident!("__field{i}"));
        let shown = visit_field(field, i, &quote!(#bound))?;
        if !shown.is_empty() {
            pattern.extend(quote!(#member: #bound,));
        }
        body.extend(shown);
    }
    Ok(quote!(Self::#name { #pattern .. } => { #body }))
}

/// Shows one field. Errors about its type point at it.
fn visit_field(field: &Field, position: usize, value: &TokenStream) -> Result<TokenStream> {
    if FieldOptions::parse(&field.attrs)?.skip {
        return Ok(TokenStream::new());
    }
    let key = match &field.ident {
        Some(name) => name.unraw().to_string(),
        None => position.to_string(),
    };
    Ok(quote_spanned!(at(field)=> __visitor.child(#key, #value);))
}

/// Where an error about a field's type points: at the type, in code that is none of the user's.
fn at(field: &Field) -> Span {
    Span::call_site().located_at(field.ty.span())
}

/// How code refers to a field.
fn member(field: &Field, position: usize) -> Member {
    field.ident.clone().map_or_else(|| Member::from(position), Member::Named)
}

/// The type's generics, with the bounds under which its fields are modules.
fn with_bounds(input: &DeriveInput, path: &Path) -> Result<Generics> {
    let mut generics = input.generics.clone();
    let parameters: Vec<Ident> = input.generics.type_params().map(|p| p.ident.clone()).collect();
    for field in fields(&input.data) {
        if FieldOptions::parse(&field.attrs)?.skip {
            continue;
        }
        let ty = &field.ty;
        let used: Vec<&Ident> = parameters.iter().filter(|p| mentions(ty, p)).collect();
        let predicates = &mut generics.make_where_clause().predicates;
        if mentions(ty, &input.ident) {
            // A bound on a type that contains the one being derived would have itself as a
            // condition.
            predicates.extend(
                used.iter().map(|p| -> syn::WherePredicate { parse_quote!(#p: #path::Module) }),
            );
        } else if !used.is_empty() {
            predicates.push(parse_quote!(#ty: #path::Module));
        }
    }
    Ok(generics)
}

fn fields(data: &Data) -> Vec<&Field> {
    match data {
        Data::Struct(data) => data.fields.iter().collect(),
        Data::Enum(data) => data.variants.iter().flat_map(|v| &v.fields).collect(),
        Data::Union(data) => data.fields.named.iter().collect(),
    }
}

/// Whether an identifier occurs in a type.
fn mentions(ty: impl ToTokens, ident: &Ident) -> bool {
    fn within(tokens: TokenStream, ident: &Ident) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(found) => found == *ident,
            TokenTree::Group(group) => within(group.stream(), ident),
            _ => false,
        })
    }
    within(ty.to_token_stream(), ident)
}
