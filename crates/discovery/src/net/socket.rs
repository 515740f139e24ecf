//! The socket of an agent: shared with other agents of this machine, joined to the group on one interface.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};

use ferromq_uri::MulticastOptions;
use rustix::net::{netdevice, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

/// Why a group cannot be joined.
#[derive(Debug)]
pub struct JoinError {
    group: String,
    source: io::Error,
}

impl JoinError {
    pub(super) fn new(options: &MulticastOptions, source: io::Error) -> Self {
        Self { group: options.address.to_string(), source }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, source } = self;
        write!(
            f,
            "the multicast group {group} can't be joined: {source}; name an interface that has multicast \
                   (joinNetworkInterface=…, interface=…), or name all brokers: static:(…)"
        )
    }
}

impl std::error::Error for JoinError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

pub(super) fn open(options: &MulticastOptions) -> Result<UdpSocket, JoinError> {
    join(options).map_err(|source| JoinError::new(options, source))
}

fn join(options: &MulticastOptions) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // Several agents of one machine hear the same group.
    socket.set_reuse_address(true)?;
    // Bound to the group, it hears nothing else that comes to the port.
    socket.bind(&std::net::SocketAddr::from(options.address).into())?;
    socket.set_multicast_ttl_v4(u32::from(options.time_to_live))?;
    socket.set_multicast_loop_v4(!options.loop_back_disabled)?;
    if let Some(address) = options.interface {
        socket.set_multicast_if_v4(&address)?;
    }
    if let Some(name) = &options.network_interface {
        let index = index(&socket, name)?;
        let any = Ipv4Addr::UNSPECIFIED;
        sockopt::set_ip_multicast_if_with_ifindex(&socket, &any, &any, index)?;
    }
    let joined = options.join_network_interface.as_ref().or(options.network_interface.as_ref());
    let on = match (joined, options.interface) {
        (Some(name), _) => InterfaceIndexOrAddress::Index(index(&socket, name)?),
        (None, Some(address)) => InterfaceIndexOrAddress::Address(address),
        (None, None) => InterfaceIndexOrAddress::Address(Ipv4Addr::UNSPECIFIED),
    };
    socket.join_multicast_v4_n(options.address.ip(), &on)?;
    Ok(socket.into())
}

fn index(socket: &Socket, name: &str) -> io::Result<u32> {
    netdevice::name_to_index(socket, name).map_err(|error| {
        io::Error::new(io::Error::from(error).kind(), format!("no interface is named '{name}'"))
    })
}
