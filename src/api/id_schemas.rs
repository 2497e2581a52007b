//! Schemas of ids that may be empty, for the OpenAPI document.

use utoipa::openapi::schema::{
    KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type,
};

/// A UUID, or an empty string.
pub(crate) fn id_or_nothing() -> Schema {
    Schema::OneOf(forms().build())
}

/// A UUID, an empty string or null.
pub(crate) fn id_null_or_nothing() -> Schema {
    Schema::OneOf(forms().item(ObjectBuilder::new().schema_type(Type::Null)).build())
}

fn forms() -> OneOfBuilder {
    let id = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
    let nothing = ObjectBuilder::new().schema_type(Type::String).max_length(Some(0));
    OneOfBuilder::new().item(id).item(nothing)
}
