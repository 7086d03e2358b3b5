//! What an observer shows, and where it finds it.

use std::collections::HashSet;

use crate::{AnyServerRef, DynamicSupervisorRef, Registry, ServerId, SupervisorRef, TreeNode, tree::Tree};

/// All that was given to an observer to be shown.
#[derive(Default)]
pub(super) struct Sources {
    supervisors: Vec<SupervisorRef>,
    dynamic_supervisors: Vec<DynamicSupervisorRef>,
    servers: Vec<AnyServerRef>,
    registries: Vec<Registry>,
}

/// What stands at the left edge of the page.
pub(super) enum Root {
    /// A supervisor, or a server that was given by itself.
    Node(TreeNode),
    /// Those of a registry that are shown nowhere else.
    Registry(Vec<TreeNode>),
}

impl Sources {
    pub(super) fn add_supervisor(&mut self, supervisor: &SupervisorRef) {
        self.supervisors.push(supervisor.clone());
    }

    pub(super) fn add_dynamic_supervisor(&mut self, supervisor: &DynamicSupervisorRef) {
        self.dynamic_supervisors.push(supervisor.clone());
    }

    pub(super) fn add_server(&mut self, server: AnyServerRef) {
        self.servers.push(server);
    }

    pub(super) fn add_registry(&mut self, registry: &Registry) {
        self.registries.push(registry.clone());
    }

    /// What there is to see: each thing once, in a tree rather than by itself, and by itself rather than in a registry.
    pub(super) fn look(&self) -> Vec<Root> {
        let supervisors = self.supervisors.iter().map(SupervisorRef::tree);
        let dynamic = self.dynamic_supervisors.iter().map(DynamicSupervisorRef::tree);
        let trees: Vec<Tree> = supervisors.chain(dynamic).collect();
        let mut shown: HashSet<ServerId> =
            trees.iter().flat_map(|tree| tree.nodes().skip(1)).map(|node| node.server).collect();
        let roots: Vec<_> = trees.iter().map(Tree::root).filter(|root| shown.insert(root.server)).collect();
        let mut roots: Vec<_> = roots.into_iter().cloned().map(Root::Node).collect();
        let mut rest = |servers: Vec<AnyServerRef>| {
            let rest = servers.into_iter().filter(|server| shown.insert(server.id()));
            rest.map(|server| server.view()).collect::<Vec<_>>()
        };
        roots.extend(rest(self.servers.clone()).into_iter().map(Root::Node));
        roots.extend(self.registries.iter().map(|registry| Root::Registry(rest(registry.servers()))));
        roots
    }

    /// Every server that can be seen, some of them perhaps more than once.
    pub(super) fn servers(&self) -> impl Iterator<Item = AnyServerRef> {
        let below = self.supervisors.iter().flat_map(SupervisorRef::servers);
        let dynamic = self.dynamic_supervisors.iter().flat_map(DynamicSupervisorRef::servers);
        let named = self.registries.iter().flat_map(Registry::servers);
        below.chain(dynamic).chain(self.servers.iter().cloned()).chain(named)
    }
}
