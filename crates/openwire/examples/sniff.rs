//! Prints a recorded OpenWire conversation, one readable line for each frame.
//!
//! ```text
//! cargo run -p ferromq-openwire --example sniff -- conversation.jsonl
//! cargo run -p ferromq-openwire --example sniff -- client-to-broker.raw [broker-to-client.raw]
//! ```
//!
//! A `.jsonl` file has one object for each frame: `conn`, `dir` (`c>s` or `s>c`), `hex` and `t_ms`. Other files are
//! the plain bytes of one direction; with both directions the agreement follows from the two greetings, with one
//! it is guessed to be what the greeting asks for.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;

use ferromq_openwire::json::{body_to_json, from_hex, map_to_json, to_json};
use ferromq_openwire::{
    Command, Framer, Limits, Message, Negotiated, PrimitiveMap, WireFormat, WireFormatInfo, WireFormatOptions,
};

/// Longest line, in characters.
const WIDTH: usize = 2000;

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    match paths.as_slice() {
        [path] if path.ends_with(".jsonl") => recorded(&fs::read_to_string(path)?),
        [path] => raw(&[fs::read(path)?]),
        [one, other] => raw(&[fs::read(one)?, fs::read(other)?]),
        _ => Err("usage: sniff conversation.jsonl | sniff to-broker.raw [to-client.raw]".into()),
    }
}

/// Both directions of one connection.
struct Conversation {
    greetings: Vec<WireFormatInfo>,
    formats: BTreeMap<String, WireFormat>,
}

impl Conversation {
    fn new() -> Self {
        Self { greetings: Vec::new(), formats: BTreeMap::new() }
    }

    fn frame(&mut self, dir: &str, frame: bytes::Bytes) -> Result<String, Box<dyn Error>> {
        let greeting = || WireFormat::new(Limits::default());
        let format = self.formats.entry(dir.to_owned()).or_insert_with(greeting);
        let command = format.decode(frame)?;
        let line = describe(&command, format)?;
        if let Command::WireFormatInfo(info) = command {
            self.greetings.push(info);
            if let [one, other] = self.greetings.as_slice() {
                self.agree(one.clone(), other.clone())?;
            }
        }
        Ok(line)
    }

    fn agree(&mut self, one: WireFormatInfo, other: WireFormatInfo) -> Result<(), Box<dyn Error>> {
        let options = |info| WireFormatOptions::from_info(info, &Limits::default());
        let agreed = Negotiated::between(&options(&one)?, &options(&other)?)?;
        for format in self.formats.values_mut() {
            *format = WireFormat::with(agreed.clone(), Limits::default());
        }
        Ok(())
    }
}

fn recorded(text: &str) -> Result<(), Box<dyn Error>> {
    let mut conversations: BTreeMap<u64, Conversation> = BTreeMap::new();
    for line in text.lines() {
        let event: serde_json::Value = serde_json::from_str(line)?;
        let conn = event["conn"].as_u64().unwrap_or(1);
        let (Some(dir), Some(hex)) = (event["dir"].as_str(), event["hex"].as_str()) else { continue };
        let bytes = from_hex(hex).ok_or("hex that is no hex")?;
        let mut framer = Framer::new(Limits::default().frame_bytes);
        framer.feed(&bytes);
        while let Some(frame) = framer.next_frame()? {
            let conversation = conversations.entry(conn).or_insert_with(Conversation::new);
            println!("{:>7} #{conn} {dir} {}", event["t_ms"], conversation.frame(dir, frame)?);
        }
    }
    Ok(())
}

fn raw(streams: &[Vec<u8>]) -> Result<(), Box<dyn Error>> {
    let mut conversation = Conversation::new();
    let names = ["one", "two"];
    let mut framers = Vec::new();
    // The greetings of both sides first, as nothing else can be read without them.
    for (dir, stream) in names.iter().zip(streams) {
        let mut framer = Framer::new(Limits::default().frame_bytes);
        framer.feed(stream);
        if let Some(frame) = framer.next_frame()? {
            println!("{dir} {}", conversation.frame(dir, frame)?);
        }
        framers.push((dir, framer));
    }
    if let [only] = conversation.greetings.as_slice() {
        conversation.agree(only.clone(), only.clone())?;
    }
    for (dir, mut framer) in framers {
        while let Some(frame) = framer.next_frame()? {
            println!("{dir} {}", conversation.frame(dir, frame)?);
        }
    }
    Ok(())
}

fn describe(command: &Command, format: &WireFormat) -> Result<String, Box<dyn Error>> {
    let agreed = format.negotiated();
    let mut fields = to_json(command, agreed.version, agreed.stack_trace)?;
    let message = match command {
        Command::Message(message) => Some((message, &mut fields)),
        Command::MessageDispatch(dispatch) => dispatch.message.as_ref().map(|m| (m, &mut fields["message"])),
        _ => None,
    };
    if let Some((message, fields)) = message {
        open(message, fields)?;
    }
    if let (Command::WireFormatInfo(info), Some(object)) = (command, fields.as_object_mut())
        && let Some(bytes) = &info.marshalled_properties
    {
        object.remove("magic");
        object.remove("marshalledProperties");
        object.insert("options".to_owned(), map_to_json(&PrimitiveMap::decode(bytes, &Limits::default())?));
    }
    if let Some(object) = fields.as_object_mut() {
        object.remove("$type");
    }
    let text: String = format!("{} {fields}", command.type_name()).chars().take(WIDTH).collect();
    Ok(text)
}

/// Shows what is inside instead of its bytes.
fn open(message: &Message, fields: &mut serde_json::Value) -> Result<(), Box<dyn Error>> {
    let limits = Limits::default();
    let Some(object) = fields.as_object_mut() else { return Ok(()) };
    if object.remove("content").is_some() {
        object.insert("body".to_owned(), body_to_json(message, &limits)?);
    }
    if object.remove("marshalledProperties").is_some() {
        object.insert("properties".to_owned(), map_to_json(&message.decode_properties(&limits)?));
    }
    Ok(())
}
