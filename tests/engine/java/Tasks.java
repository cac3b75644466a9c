import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.AppenderBase;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.kestra.core.models.executions.AbstractMetricEntry;
import io.kestra.core.models.executions.LogEntry;
import io.kestra.core.models.property.Property;
import io.kestra.core.models.tasks.RunnableTaskException;
import io.kestra.core.models.tasks.runners.DefaultLogConsumer;
import io.kestra.core.runners.DefaultRunContext;
import io.kestra.core.runners.RunContext;
import io.kestra.core.runners.RunContextFactory;
import io.kestra.core.runners.RunContextInitializer;
import io.kestra.plugin.core.runner.Process;
import io.kestra.plugin.scripts.exec.scripts.runners.CommandsWrapper;
import io.micrometer.core.instrument.MeterRegistry;
import io.micronaut.context.ApplicationContext;
import io.micronaut.context.RuntimeBeanDefinition;
import io.micronaut.core.type.Argument;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Proxy;
import java.math.BigDecimal;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * The side of the engine that runs tasks, without a server: `java Tasks STORAGE-FOLDER`.
 *
 * Reads one request a line, {"command": shell text, "environment": {name: value}}, runs it as a
 * Script task does (the engine's own wrapper of commands, its process runner, its reader of lines),
 * and answers each with one line: what the engine kept. Ends with its standard input.
 */
public class Tasks {
    record Request(String command, Map<String, String> environment) {}
    record Line(boolean stderr, String text) {}
    record Entry(String level, String message) {}
    record Metric(String name, String type, Object value, Map<String, String> tags) {}
    record Answer(Integer exitCode, String error, Map<String, Object> outputs, List<Metric> metrics,
                  Collection<Entry> logs, Collection<Line> lines) {}

    // Parts of a server that the engine wants to be given, and that running a command never calls.
    // Not every version has them all.
    static final List<String> ABSENT = List.of(
        "repositories.ExecutionOutputRepositoryInterface",
        "repositories.KvMetadataRepositoryInterface",
        "repositories.NamespaceFileMetadataRepositoryInterface",
        "repositories.TaskOutputRepositoryInterface",
        "namespace.NamespaceFileMetadataStateStore",
        "runners.LogEntryEmitter",
        "runners.Worker");

    static final ObjectMapper JSON = JsonMapper.builder()
        .enable(JsonWriteFeature.ESCAPE_NON_ASCII) // half a surrogate pair has no UTF-8
        .build();

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = new PrintStream(System.out, true, UTF_8);
        System.setOut(System.err); // what the engine itself prints
        int status = 1;
        try (ApplicationContext engine = start(Path.of(arguments[0]))) {
            run(new Request("true", Map.of()), engine); // the first one is slow
            var requests = new BufferedReader(new InputStreamReader(System.in, UTF_8));
            for (String line; (line = requests.readLine()) != null; ) {
                Request request = JSON.readValue(line, Request.class);
                answers.println(JSON.writeValueAsString(run(request, engine)));
            }
            status = 0;
        } catch (Throwable failure) {
            failure.printStackTrace();
        }
        System.exit(status); // threads of the engine would go on
    }

    static ApplicationContext start(Path storage) throws Exception {
        ApplicationContext engine = ApplicationContext.builder()
            .deduceEnvironment(false)
            .properties(Map.of(
                "kestra.storage.type", "local",
                "kestra.storage.local.base-path", storage.toString(),
                "kestra.tasks.tmp-dir.path", storage.resolve("tasks").toString(),
                "kestra.metrics.prefix", "kestra")) // as every server is set up
            .build();
        for (String type : ABSENT) {
            standIn(engine, type, null);
        }
        standIn(engine, "queues.QueueInterface", "workerTaskLogQueue", LogEntry.class);
        return engine.start();
    }

    @SuppressWarnings("unchecked")
    static void standIn(ApplicationContext engine, String name, String qualifier, Class<?>... of) {
        Class<?> type;
        try {
            type = Class.forName("io.kestra.core." + name);
        } catch (ClassNotFoundException absent) {
            return; // this version has none
        }
        Object refusing = Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type},
            (proxy, method, arguments) -> switch (method.getName()) {
                case "equals" -> proxy == arguments[0];
                case "hashCode" -> System.identityHashCode(proxy);
                default -> throw new UnsupportedOperationException(method.toString());
            });
        Argument<Object> argument = (Argument<Object>) Argument.of(type, of);
        var bean = RuntimeBeanDefinition.builder(argument, () -> refusing).singleton(true);
        engine.registerBeanDefinition((qualifier == null ? bean : bean.named(qualifier)).build());
    }

    static Answer run(Request request, ApplicationContext engine) {
        RunContext context = engine.getBean(RunContextFactory.class).of();
        engine.getBean(RunContextInitializer.class).forExecutor((DefaultRunContext) context);
        // In there a clash of types outlives the task, and tests are to be independent.
        engine.getBean(MeterRegistry.class).clear();
        var logs = listen((Logger) context.logger());
        var reader = new Reader(context);
        Integer exitCode = null;
        String error = null;
        try {
            exitCode = new CommandsWrapper(context)
                .withTaskRunner(Process.instance())
                .withInterpreter(Property.ofValue(List.of("/bin/sh", "-c")))
                .withCommands(Property.ofValue(List.of(request.command())))
                .withEnv(request.environment())
                .withLogConsumer(reader)
                .run()
                .getExitCode();
        } catch (RunnableTaskException failure) { // a status other than zero
            error = failure.toString();
            if (failure.getOutput() != null) {
                exitCode = (Integer) failure.getOutput().toMap().get("exitCode");
            }
        } catch (Exception failure) {
            error = failure.toString();
        }
        ((DefaultRunContext) context).cleanup();
        List<Metric> metrics = context.metrics().stream().map(Tasks::metric).toList();
        return new Answer(exitCode, error, reader.getOutputs(), metrics, logs, reader.lines);
    }

    /** The engine's own reader, which also remembers the lines that it was given. */
    static class Reader extends DefaultLogConsumer {
        final Queue<Line> lines = new ConcurrentLinkedQueue<>();
        private final Queue<String> deaths = new ConcurrentLinkedQueue<>();

        Reader(RunContext context) {
            super(context);
        }

        @Override
        public void accept(String line, Boolean isStdErr, Instant instant) {
            // Of what ends a reader, the engine then says so itself, as a line of standard error.
            if (!isStdErr || !deaths.remove(line)) {
                lines.add(new Line(isStdErr, line));
            }
            try {
                super.accept(line, isStdErr, instant);
            } catch (RuntimeException death) {
                deaths.add(String.valueOf(death.getMessage()));
                throw death;
            }
        }
    }

    static Metric metric(AbstractMetricEntry<?> entry) {
        Object value = entry.getValue();
        value = value instanceof Duration duration ? seconds(duration) : value;
        return new Metric(entry.getName(), entry.getType(), value, entry.getTags());
    }

    static BigDecimal seconds(Duration duration) {
        BigDecimal fraction = BigDecimal.valueOf(duration.getNano(), 9);
        return BigDecimal.valueOf(duration.getSeconds()).add(fraction);
    }

    static Collection<Entry> listen(Logger logger) {
        var entries = new ConcurrentLinkedQueue<Entry>();
        var appender = new AppenderBase<ILoggingEvent>() {
            @Override
            protected void append(ILoggingEvent event) {
                entries.add(new Entry(event.getLevel().toString(), event.getFormattedMessage()));
            }
        };
        appender.start();
        logger.setAdditive(false);
        logger.setLevel(Level.TRACE);
        logger.addAppender(appender);
        return entries;
    }
}
