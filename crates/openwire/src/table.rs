//! The macros that turn the table of `structures.rs` into types and marshallers.

/// Rust type of a field kind.
macro_rules! field_type {
    (bool) => { bool };
    (byte) => { i8 };
    (int) => { i32 };
    (long) => { i64 };
    (string) => { Option<WireStr> };
    (bytes) => { Option<Bytes> };
    (octets) => { Option<Bytes> };
    (magic) => { [u8; 8] };
    (throwable) => { Option<Arc<Throwable>> };
    (nested $of:ty) => { Option<$of> };
    (cached $of:ty) => { Option<$of> };
    (array $of:ty) => { Option<Arc<[$of]>> };
}

/// Whether a field exists in a version.
macro_rules! in_version {
    ($version:ident) => {
        true
    };
    ($version:ident $range:expr) => {
        ($range).contains(&$version)
    };
}

/// One struct with its fields in wire order, and how it is read and written.
macro_rules! field_group {
    ($(#[$meta:meta])* command $name:ident = $java:literal $(with $with:tt)? { $($fields:tt)* }) => {
        $crate::table::field_group! { @emit $(#[$meta])* $name = $java $(with $with)? {
            command_id = "commandId": int,
            response_required = "responseRequired": bool,
            $($fields)*
        } }
    };
    ($(#[$meta:meta])* response $name:ident = $java:literal { $($fields:tt)* }) => {
        $crate::table::field_group! { @emit $(#[$meta])* $name = $java {
            command_id = "commandId": int,
            response_required = "responseRequired": bool,
            correlation_id = "correlationId": int,
            $($fields)*
        } }
    };
    ($(#[$meta:meta])* plain $name:ident = $java:literal { $($fields:tt)* }) => {
        $crate::table::field_group! { @emit $(#[$meta])* $name = $java { $($fields)* } }
    };
    (@emit $(#[$meta:meta])* $name:ident = $java:literal
        $(with { $($extra:ident: $extra_type:ty),* })?
        { $($field:ident = $wire:literal: $kind:ident $(($of:ty))? $(@ $range:expr)?,)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name {
            $($(
                #[doc = concat!("`", stringify!($extra), "`: told by the type code, not a field on the wire.")]
                pub $extra: $extra_type,
            )*)?
            $(
                #[doc = concat!(
                    "`", $wire, "`: ", stringify!($kind), $(" of `", stringify!($of), "`",)?
                    $(", in versions ", stringify!($range),)? "."
                )]
                pub $field: $crate::table::field_type!($kind $($of)?),
            )*
        }

        impl $crate::fields::FieldGroup for $name {
            const NAME: &'static str = $java;

            #[allow(unused_variables, reason = "a group may have no fields")]
            #[inline]
            fn read<S: $crate::fields::Source>(source: &mut S) -> $crate::Result<Self> {
                let version = source.version();
                Ok(Self {
                    $($( $extra: Default::default(), )*)?
                    $( $field: if $crate::table::in_version!(version $($range)?) {
                        source.$kind($wire)?
                    } else {
                        Default::default()
                    }, )*
                })
            }

            #[allow(unused_variables, reason = "a group may have no fields")]
            #[inline]
            fn write<S: $crate::fields::Sink>(&self, sink: &mut S) -> $crate::Result<()> {
                let version = sink.version();
                $( if $crate::table::in_version!(version $($range)?) {
                    sink.$kind($wire, &self.$field)?;
                } )*
                Ok(())
            }
        }
    };
}

/// All structures with a type code of their own, and the enum over them.
macro_rules! structures {
    ($($(#[$meta:meta])* $code:literal $base:ident $name:ident = $java:literal since $since:literal
        { $($fields:tt)* })*
    ) => {
        $(
            $crate::table::field_group! { $(#[$meta])* $base $name = $java { $($fields)* } }

            impl $crate::fields::Nested for $name {
                fn code(&self) -> u8 {
                    $code
                }

                #[inline]
                fn read_as<S: $crate::fields::Source>(code: u8, source: &mut S) -> $crate::Result<Self> {
                    if code != $code {
                        return Err($crate::Error::UnexpectedType { code, expected: $java });
                    }
                    $crate::fields::FieldGroup::read(source)
                }

                #[inline]
                fn write_fields<S: $crate::fields::Sink>(&self, sink: &mut S) -> $crate::Result<()> {
                    $crate::fields::FieldGroup::write(self, sink)
                }
            }

            impl From<$name> for Command {
                fn from(value: $name) -> Self {
                    Command::$name(value)
                }
            }
        )*

        /// Any data structure with a type code: what one frame holds, or what stands where anything may stand.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[allow(clippy::large_enum_variant, reason = "a box per acknowledgement costs more than moving it")]
        pub enum Command {
            /// The null object, code 0.
            #[default]
            Null,
            /// A message of any kind, codes 23 to 29.
            Message(Arc<Message>),
            /// A destination of any kind, codes 100 to 103.
            Destination(Destination),
            $(
                #[doc = concat!("Code ", stringify!($code), ", since version ", stringify!($since), ".")]
                $name($name),
            )*
        }

        impl Command {
            /// The type code.
            pub fn code(&self) -> u8 {
                match self {
                    Command::Null => 0,
                    Command::Message(m) => m.kind.code(),
                    Command::Destination(d) => d.kind.code(),
                    $( Command::$name(_) => $code, )*
                }
            }

            /// The name of the type as the protocol's own implementation spells it.
            pub fn type_name(&self) -> &'static str {
                Self::name_of(self.code()).unwrap_or("null")
            }

            /// The name behind a type code.
            pub fn name_of(code: u8) -> Option<&'static str> {
                match code {
                    $( $code => Some($java), )*
                    _ => MessageKind::from_code(code)
                        .map(MessageKind::type_name)
                        .or_else(|| crate::DestinationKind::from_code(code).map(crate::DestinationKind::type_name)),
                }
            }

            /// The type code behind a name.
            pub fn code_of(name: &str) -> Option<u8> {
                (1..=127).find(|&code| Self::name_of(code) == Some(name))
            }

            /// The first version that has the type code, or nothing if no version has it.
            pub fn since(code: u8) -> Option<u8> {
                match code {
                    $( $code => Some($since), )*
                    29 => Some(3),
                    23..=28 | 100..=103 => Some(1),
                    _ => None,
                }
            }

            pub(crate) fn read_code<S: $crate::fields::Source>(code: u8, source: &mut S) -> $crate::Result<Self> {
                use $crate::fields::Nested;
                Ok(match code {
                    23..=29 => Command::Message(Arc::<Message>::read_as(code, source)?),
                    100..=103 => Command::Destination(Destination::read_as(code, source)?),
                    $( $code => Command::$name(<$name as Nested>::read_as(code, source)?), )*
                    _ => return Err($crate::Error::UnknownType { code, version: source.version() }),
                })
            }

            pub(crate) fn write_all<S: $crate::fields::Sink>(&self, sink: &mut S) -> $crate::Result<()> {
                use $crate::fields::Nested;
                match self {
                    Command::Null => Ok(()),
                    Command::Message(m) => m.write_fields(sink),
                    Command::Destination(d) => d.write_fields(sink),
                    $( Command::$name(value) => value.write_fields(sink), )*
                }
            }
        }
    };
}

pub(crate) use {field_group, field_type, in_version, structures};
