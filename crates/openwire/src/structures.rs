//! The table: every structure of OpenWire 1 to 12, its fields in wire order, in one place.
//!
//! An entry reads `code base Name = "name on the wire" since version { field = "name": kind(of) @ versions, }`.
//! From it come the Rust struct, both encodings, both directions, and every other notation of [`crate::fields`].
//!
//! * base: `plain` has no fields of its own, `command` begins with `commandId` and `responseRequired`, `response`
//!   adds `correlationId`;
//! * kind: `bool`, `byte`, `int`, `long`, `string` (nullable), `bytes` (nullable, shares the frame), `octets`
//!   (nullable, copied out of the frame), `magic` (8 raw bytes), `throwable`, `nested(T)`, `cached(T)`, `array(T)`;
//! * `@ 3..` keeps a field out of the frame in other versions; it then reads as null, false or 0.

use std::sync::Arc;

use bytes::Bytes;

use crate::destination::Destination;
use crate::message::MessageKind;
use crate::object::ObjectId;
use crate::table::{field_group, structures};
use crate::text::WireStr;
use crate::throwable::Throwable;
use crate::transaction::TransactionId;

field_group! {
    /// A message of any kind; see [`Message::kind`](struct@Message#structfield.kind). A clone copies references, never bodies.
    command Message = "Message" with { kind: MessageKind, blob: Option<Arc<Blob>> } {
        producer_id = "producerId": cached(ProducerId),
        destination = "destination": cached(Destination),
        transaction_id = "transactionId": cached(TransactionId),
        original_destination = "originalDestination": cached(Destination),
        message_id = "messageId": nested(MessageId),
        original_transaction_id = "originalTransactionId": cached(TransactionId),
        group_id = "groupID": string,
        group_sequence = "groupSequence": int,
        correlation_id = "correlationId": string,
        persistent = "persistent": bool,
        expiration = "expiration": long,
        priority = "priority": byte,
        reply_to = "replyTo": nested(Destination),
        timestamp = "timestamp": long,
        jms_type = "type": string,
        content = "content": bytes,
        marshalled_properties = "marshalledProperties": bytes,
        data_structure = "dataStructure": nested(Arc<Command>),
        target_consumer_id = "targetConsumerId": cached(ConsumerId),
        compressed = "compressed": bool,
        redelivery_counter = "redeliveryCounter": int,
        broker_path = "brokerPath": array(BrokerId),
        arrival = "arrival": long,
        user_id = "userID": string,
        received_by_df_bridge = "recievedByDFBridge": bool,
        droppable = "droppable": bool @ 2..,
        cluster = "cluster": array(BrokerId) @ 3..,
        broker_in_time = "brokerInTime": long @ 3..,
        broker_out_time = "brokerOutTime": long @ 3..,
        jmsx_group_first_for_consumer = "JMSXGroupFirstForConsumer": bool @ 10..,
    }
}

field_group! {
    /// What a blob message has besides the fields of every message.
    plain Blob = "ActiveMQBlobMessage" {
        remote_blob_url = "remoteBlobUrl": string,
        mime_type = "mimeType": string,
        deleted_by_broker = "deletedByBroker": bool,
    }
}

structures! {
    /// The greeting that both sides send first; see [`WireFormatOptions`](crate::WireFormatOptions) for its properties.
    1 plain WireFormatInfo = "WireFormatInfo" since 1 {
        magic = "magic": magic,
        version = "version": int,
        marshalled_properties = "marshalledProperties": bytes,
    }

    /// Identity of a broker, sent to every client and over bridges.
    2 command BrokerInfo = "BrokerInfo" since 1 {
        broker_id = "brokerId": cached(BrokerId),
        broker_url = "brokerURL": string,
        peer_broker_infos = "peerBrokerInfos": array(BrokerInfo),
        broker_name = "brokerName": string,
        slave_broker = "slaveBroker": bool,
        master_broker = "masterBroker": bool,
        fault_tolerant_configuration = "faultTolerantConfiguration": bool,
        duplex_connection = "duplexConnection": bool @ 2..,
        network_connection = "networkConnection": bool @ 2..,
        connection_id = "connectionId": long @ 2..,
        broker_upload_url = "brokerUploadUrl": string @ 3..,
        network_properties = "networkProperties": string @ 3..,
    }

    /// Opens a connection (in the sense of JMS) on a transport.
    3 command ConnectionInfo = "ConnectionInfo" since 1 {
        connection_id = "connectionId": cached(ConnectionId),
        client_id = "clientId": string,
        password = "password": string,
        user_name = "userName": string,
        broker_path = "brokerPath": array(BrokerId),
        broker_master_connector = "brokerMasterConnector": bool,
        manageable = "manageable": bool,
        client_master = "clientMaster": bool @ 2..,
        fault_tolerant = "faultTolerant": bool @ 6..,
        failover_reconnect = "failoverReconnect": bool @ 6..,
        client_ip = "clientIp": string @ 8..,
    }

    /// Opens a session.
    4 command SessionInfo = "SessionInfo" since 1 {
        session_id = "sessionId": cached(SessionId),
    }

    /// Opens a consumer, a durable subscription or a browser.
    5 command ConsumerInfo = "ConsumerInfo" since 1 {
        consumer_id = "consumerId": cached(ConsumerId),
        browser = "browser": bool,
        destination = "destination": cached(Destination),
        prefetch_size = "prefetchSize": int,
        maximum_pending_message_limit = "maximumPendingMessageLimit": int,
        dispatch_async = "dispatchAsync": bool,
        selector = "selector": string,
        client_id = "clientId": string @ 10..,
        subscription_name = "subscriptionName": string,
        no_local = "noLocal": bool,
        exclusive = "exclusive": bool,
        retroactive = "retroactive": bool,
        priority = "priority": byte,
        broker_path = "brokerPath": array(BrokerId),
        additional_predicate = "additionalPredicate": nested(Arc<Command>),
        network_subscription = "networkSubscription": bool,
        optimized_acknowledge = "optimizedAcknowledge": bool,
        no_range_acks = "noRangeAcks": bool,
        network_consumer_path = "networkConsumerPath": array(ConsumerId) @ 4..,
    }

    /// Opens a producer; without a destination it is anonymous.
    6 command ProducerInfo = "ProducerInfo" since 1 {
        producer_id = "producerId": cached(ProducerId),
        destination = "destination": cached(Destination),
        broker_path = "brokerPath": array(BrokerId),
        dispatch_async = "dispatchAsync": bool @ 2..,
        window_size = "windowSize": int @ 3..,
    }

    /// Moves a transaction on; see [`TransactionType`](crate::TransactionType).
    7 command TransactionInfo = "TransactionInfo" since 1 {
        connection_id = "connectionId": cached(ConnectionId),
        transaction_id = "transactionId": cached(TransactionId),
        kind = "type": byte,
    }

    /// Adds (0) or removes (1) a destination.
    8 command DestinationInfo = "DestinationInfo" since 1 {
        connection_id = "connectionId": cached(ConnectionId),
        destination = "destination": cached(Destination),
        operation_type = "operationType": byte,
        timeout = "timeout": long,
        broker_path = "brokerPath": array(BrokerId),
    }

    /// Ends a durable subscription.
    9 command RemoveSubscriptionInfo = "RemoveSubscriptionInfo" since 1 {
        connection_id = "connectionId": cached(ConnectionId),
        subscription_name = "subscriptionName": string,
        client_id = "clientId": string,
    }

    /// Says that the sender is alive.
    10 command KeepAliveInfo = "KeepAliveInfo" since 1 {}

    /// Announces an orderly end of the transport.
    11 command ShutdownInfo = "ShutdownInfo" since 1 {}

    /// Closes a connection, session, consumer or producer.
    12 command RemoveInfo = "RemoveInfo" since 1 {
        object_id = "objectId": cached(ObjectId),
        last_delivered_sequence_id = "lastDeliveredSequenceId": long @ 5..,
    }

    /// A word to a broker; ignored nowadays.
    14 command ControlCommand = "ControlCommand" since 1 {
        command = "command": string,
    }

    /// Answered when everything before it was handled.
    15 command FlushCommand = "FlushCommand" since 1 {}

    /// An asynchronous failure of something that nobody waits for.
    16 command ConnectionError = "ConnectionError" since 1 {
        exception = "exception": throwable,
        connection_id = "connectionId": nested(ConnectionId),
    }

    /// Changes the prefetch of a consumer, or closes it.
    17 command ConsumerControl = "ConsumerControl" since 1 {
        destination = "destination": nested(Destination) @ 6..,
        close = "close": bool,
        consumer_id = "consumerId": nested(ConsumerId),
        prefetch = "prefetch": int,
        flush = "flush": bool @ 2..,
        start = "start": bool @ 2..,
        stop = "stop": bool @ 2..,
    }

    /// Tells a client about brokers, or that it is to move.
    18 command ConnectionControl = "ConnectionControl" since 1 {
        close = "close": bool,
        exit = "exit": bool,
        fault_tolerant = "faultTolerant": bool,
        resume = "resume": bool,
        suspend = "suspend": bool,
        connected_brokers = "connectedBrokers": string @ 6..,
        reconnect_to = "reconnectTo": string @ 6..,
        rebalance_connection = "rebalanceConnection": bool @ 6..,
        token = "token": octets @ 8..,
    }

    /// Gives back room in the window of a producer.
    19 command ProducerAck = "ProducerAck" since 3 {
        producer_id = "producerId": nested(ProducerId),
        size = "size": int,
    }

    /// Asks for one message for a consumer with prefetch 0.
    20 command MessagePull = "MessagePull" since 2 {
        consumer_id = "consumerId": cached(ConsumerId),
        destination = "destination": cached(Destination),
        timeout = "timeout": long,
        correlation_id = "correlationId": string @ 3..,
        message_id = "messageId": nested(MessageId) @ 3..,
    }

    /// Brings a message to a consumer; without a message it ends a browse or a pull.
    21 command MessageDispatch = "MessageDispatch" since 1 {
        consumer_id = "consumerId": cached(ConsumerId),
        destination = "destination": cached(Destination),
        message = "message": nested(Arc<Message>),
        redelivery_counter = "redeliveryCounter": int,
    }

    /// Acknowledges one message or a range; see [`AckType`](crate::AckType).
    22 command MessageAck = "MessageAck" since 1 {
        destination = "destination": cached(Destination),
        transaction_id = "transactionId": cached(TransactionId),
        consumer_id = "consumerId": cached(ConsumerId),
        ack_type = "ackType": byte,
        first_message_id = "firstMessageId": nested(MessageId),
        last_message_id = "lastMessageId": nested(MessageId),
        message_count = "messageCount": int,
        poison_cause = "poisonCause": throwable @ 7..,
    }

    /// Success without a value.
    30 response Response = "Response" since 1 {}

    /// Failure of a request.
    31 response ExceptionResponse = "ExceptionResponse" since 1 {
        exception = "exception": throwable,
    }

    /// Success with one structure.
    32 response DataResponse = "DataResponse" since 1 {
        data = "data": nested(Arc<Command>),
    }

    /// Success with several structures, such as prepared transactions.
    33 response DataArrayResponse = "DataArrayResponse" since 1 {
        data = "data": array(Command),
    }

    /// Success with a number, such as the vote of a prepare.
    34 response IntegerResponse = "IntegerResponse" since 1 {
        result = "result": int,
    }

    /// A broker seen by multicast; never on a connection.
    40 plain DiscoveryEvent = "DiscoveryEvent" since 1 {
        service_name = "serviceName": string,
        broker_name = "brokerName": string,
    }

    /// Record of old journals; never on a connection.
    50 plain JournalTopicAck = "JournalTopicAck" since 1 {
        destination = "destination": nested(Destination),
        message_id = "messageId": nested(MessageId),
        message_sequence_id = "messageSequenceId": long,
        subscription_name = "subscriptionName": string,
        client_id = "clientId": string,
        transaction_id = "transactionId": nested(TransactionId),
    }

    /// Record of old journals; never on a connection.
    52 plain JournalQueueAck = "JournalQueueAck" since 1 {
        destination = "destination": nested(Destination),
        message_ack = "messageAck": nested(MessageAck),
    }

    /// Record of old journals; never on a connection.
    53 plain JournalTrace = "JournalTrace" since 1 {
        message = "message": string,
    }

    /// Record of old journals; never on a connection.
    54 plain JournalTransaction = "JournalTransaction" since 1 {
        transaction_id = "transactionId": nested(TransactionId),
        kind = "type": byte,
        was_prepared = "wasPrepared": bool,
    }

    /// A durable subscription as stores keep it.
    55 plain SubscriptionInfo = "SubscriptionInfo" since 1 {
        client_id = "clientId": string,
        destination = "destination": cached(Destination),
        selector = "selector": string,
        subscription_name = "subscriptionName": string,
        subscribed_destination = "subscribedDestination": nested(Destination) @ 3..,
        no_local = "noLocal": bool @ 11..,
    }

    /// A piece of a large command on UDP.
    60 plain PartialCommand = "PartialCommand" since 1 {
        command_id = "commandId": int,
        data = "data": octets,
    }

    /// The last piece of a large command on UDP.
    61 plain LastPartialCommand = "LastPartialCommand" since 1 {
        command_id = "commandId": int,
        data = "data": octets,
    }

    /// Asks for lost packets on UDP.
    65 command ReplayCommand = "ReplayCommand" since 1 {
        first_nak_number = "firstNakNumber": int,
        last_nak_number = "lastNakNumber": int,
    }

    /// Told a slave what its master dispatched; historic.
    90 command MessageDispatchNotification = "MessageDispatchNotification" since 1 {
        consumer_id = "consumerId": cached(ConsumerId),
        destination = "destination": cached(Destination),
        delivery_sequence_id = "deliverySequenceId": long,
        message_id = "messageId": nested(MessageId),
    }

    /// Keeps a bridge from sending messages back to where they came from.
    91 plain NetworkBridgeFilter = "NetworkBridgeFilter" since 1 {
        network_ttl = "networkTTL": int @ 1..=9,
        network_broker_id = "networkBrokerId": cached(BrokerId),
        message_ttl = "messageTTL": int @ 10..,
        consumer_ttl = "consumerTTL": int @ 10..,
    }

    /// Durable subscriptions that a bridge synchronises at its start.
    92 command BrokerSubscriptionInfo = "BrokerSubscriptionInfo" since 12 {
        broker_id = "brokerId": nested(BrokerId),
        broker_name = "brokerName": string,
        subscription_infos = "subscriptionInfos": array(ConsumerInfo),
    }

    /// Identity of a message: producer and sequence; the other fields are views.
    110 plain MessageId = "MessageId" since 1 {
        text_view = "textView": string @ 10..,
        producer_id = "producerId": cached(ProducerId),
        producer_sequence_id = "producerSequenceId": long,
        broker_sequence_id = "brokerSequenceId": long,
    }

    /// A transaction of one connection.
    111 plain LocalTransactionId = "LocalTransactionId" since 1 {
        value = "value": long,
        connection_id = "connectionId": cached(ConnectionId),
    }

    /// A branch of a distributed transaction.
    112 plain XaTransactionId = "XATransactionId" since 1 {
        format_id = "formatId": int,
        global_transaction_id = "globalTransactionId": octets,
        branch_qualifier = "branchQualifier": octets,
    }

    /// Identity of a connection.
    120 plain ConnectionId = "ConnectionId" since 1 {
        value = "value": string,
    }

    /// Identity of a session.
    121 plain SessionId = "SessionId" since 1 {
        connection_id = "connectionId": string,
        value = "value": long,
    }

    /// Identity of a consumer.
    122 plain ConsumerId = "ConsumerId" since 1 {
        connection_id = "connectionId": string,
        session_id = "sessionId": long,
        value = "value": long,
    }

    /// Identity of a producer (value before session, unlike consumers).
    123 plain ProducerId = "ProducerId" since 1 {
        connection_id = "connectionId": string,
        value = "value": long,
        session_id = "sessionId": long,
    }

    /// Identity of a broker.
    124 plain BrokerId = "BrokerId" since 1 {
        value = "value": string,
    }
}
