//! The kinds of messages, and the names that clients use for them.

/// A kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Human,
    Ai,
    System,
    Tool,
    Function,
    /// A message whose `role` is free text.
    Chat,
    /// Not a message, but the removal of one.
    Remove,
}

impl Kind {
    /// The kind of a `role`.
    pub(super) fn of_role(role: &str) -> Option<Kind> {
        Some(match role {
            "human" | "user" => Kind::Human,
            "ai" | "assistant" => Kind::Ai,
            "system" | "developer" => Kind::System,
            "tool" => Kind::Tool,
            "function" => Kind::Function,
            "remove" => Kind::Remove,
            _ => return None,
        })
    }

    /// The kind of a `type`. The reference also accepts roles as types, and stores no chunks in a
    /// state.
    pub(super) fn of_type(name: &str) -> Option<Kind> {
        match name {
            "chat" => Some(Kind::Chat),
            _ if name.ends_with("MessageChunk") => Kind::of_class(name),
            _ => Kind::of_role(name),
        }
    }

    /// The kind of a class of `langchain_core`.
    pub(super) fn of_class(class: &str) -> Option<Kind> {
        Some(match class {
            "HumanMessage" | "HumanMessageChunk" => Kind::Human,
            "AIMessage" | "AIMessageChunk" => Kind::Ai,
            "SystemMessage" | "SystemMessageChunk" => Kind::System,
            "ToolMessage" | "ToolMessageChunk" => Kind::Tool,
            "FunctionMessage" | "FunctionMessageChunk" => Kind::Function,
            "ChatMessage" | "ChatMessageChunk" => Kind::Chat,
            "RemoveMessage" => Kind::Remove,
            _ => return None,
        })
    }

    /// The name as the JSON text of a `type`.
    pub(super) fn as_json(self) -> &'static str {
        match self {
            Kind::Human => "\"human\"",
            Kind::Ai => "\"ai\"",
            Kind::System => "\"system\"",
            Kind::Tool => "\"tool\"",
            Kind::Function => "\"function\"",
            Kind::Chat => "\"chat\"",
            Kind::Remove => "\"remove\"",
        }
    }
}
