//! Conversations with a scripted broker, on virtual time.
