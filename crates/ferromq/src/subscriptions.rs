//! `ferromq subscriptions`: the durable subscriptions of a broker, and how one ends that nobody uses any longer.

use ferromq_proto::admin::{EndSubscriptionRequest, ListSubscriptionsRequest, SubscriptionEntry};
use serde_json::{Value, json};

use crate::counted::counted;
use crate::exit::Outcome;
use crate::listing::Listing;
use crate::operator::{self, Credential, Target};

/// Whom to ask, and how to tell.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  ferromq subscriptions                                every durable subscription, those first that keep most
  ferromq subscriptions tcp://127.0.0.1:61616 --json   one object a line, for scripts
  ferromq subscriptions end nc_b_inbound_old NC-DS_old_news
                                                       end one that nobody uses, with the messages that it keeps

A link has a durable subscription, NC-DS_LOCAL_TOPIC of client CONNECTOR_REMOTE_inbound_LOCAL, for durable subscribers of
the other broker. If a broker or a connector was renamed or taken away, it may stay behind, and fill up."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    target: Target,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// End a durable subscription that nobody uses any longer
    End(EndArgs),
}

/// What is to be ended.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Messages that it keeps are dropped, and links that keep messages for its subscriber learn that they need not. It is refused
while the subscriber is connected. Who still wants the messages takes them first, as a durable subscriber of that client id and
name.")]
struct EndArgs {
    /// The client id, as `ferromq subscriptions` tells it
    #[arg(value_name = "CLIENT")]
    client: String,
    /// The name of the subscription
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    credential: Credential,
}

const LISTING: Listing<SubscriptionEntry> = Listing { line, object, none: "no durable subscription" };

/// Asks and tells, or orders.
pub(crate) fn run(args: Args) -> Outcome {
    operator::runtime()?.block_on(async {
        match args.verb {
            None => list(&args.target, args.json).await,
            Some(Verb::End(args)) => end(args).await,
        }
    })
}

async fn list(target: &Target, json: bool) -> Outcome {
    let address = target.active().await?;
    let mut admin = operator::connect(&address).await?;
    let told = admin.list_subscriptions(operator::question(ListSubscriptionsRequest {})).await;
    let told = told.map_err(|status| operator::refused(&address, &status))?.into_inner();
    let left_out = told.total.saturating_sub(told.subscriptions.len() as u64);
    let rest = format!("and {} that keep no more than these", counted(left_out, "subscription"));
    LISTING.print(&told.subscriptions, json, (left_out > 0).then_some(rest))
}

async fn end(args: EndArgs) -> Outcome {
    let EndArgs { client, name, target, credential } = args;
    let address = target.active().await?;
    let mut admin = operator::connect(&address).await?;
    let request = EndSubscriptionRequest { client: client.clone(), name: name.clone() };
    let done = admin.end_subscription(credential.command(request)?).await;
    let dropped = done.map_err(|status| operator::refused(&address, &status))?.into_inner().dropped;
    println!(
        "durable subscription {name} of client {client} is ended; {} that it kept are dropped",
        counted(dropped, "message")
    );
    Ok(())
}

/// For scripts; names are kept.
fn object(entry: &SubscriptionEntry) -> Value {
    json!({
        "client": entry.client,
        "name": entry.name,
        "topic": entry.topic,
        "selector": entry.selector,
        "active": entry.active,
        "held": entry.held,
    })
}

fn line(entry: &SubscriptionEntry) -> String {
    let SubscriptionEntry { client, name, topic, selector, active, held } = entry;
    let selects = selector.as_ref().map(|selector| format!(" where {selector}")).unwrap_or_default();
    let state = if *active { "connected" } else { "absent" };
    format!("{name} of client {client}\n  {topic}{selects}, {} kept, {state}", counted(*held, "message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_told_with_what_it_keeps_and_whether_anybody_uses_it() {
        let absent = SubscriptionEntry {
            client: "nc_b_inbound_a".to_owned(),
            name: "NC-DS_a_news".to_owned(),
            topic: "topic://news".to_owned(),
            selector: None,
            active: false,
            held: 1,
        };
        assert_eq!(
            line(&absent),
            "NC-DS_a_news of client nc_b_inbound_a\n  topic://news, 1 message kept, absent"
        );
        let selecting =
            SubscriptionEntry { selector: Some("price > 5".to_owned()), active: true, held: 7, ..absent };
        assert!(line(&selecting).ends_with("topic://news where price > 5, 7 messages kept, connected"));
        assert_eq!((&object(&selecting)["held"], &object(&selecting)["active"]), (&json!(7), &json!(true)));
    }
}
