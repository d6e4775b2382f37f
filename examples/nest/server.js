// An unchanged Nest app. (Decorators are applied by hand: this is JavaScript.)
import 'reflect-metadata';
import { Body, Controller, Get, Module, Param, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { HttpServer } from 'tswoole';

class AppController {
  root() {
    return 'Hello from Nest\n';
  }
  hello(name) {
    return { hello: name };
  }
  echo(body) {
    return body;
  }
}
const on = (name, decorator) =>
  decorator(AppController.prototype, name, Object.getOwnPropertyDescriptor(AppController.prototype, name));
on('root', Get('/'));
on('hello', Get('/hello/:name'));
on('echo', Post('/echo'));
Param('name')(AppController.prototype, 'hello', 0);
Body()(AppController.prototype, 'echo', 0);
Controller()(AppController);

class AppModule {}
Module({ controllers: [AppController] })(AppModule);

const app = await NestFactory.create(AppModule, { logger: false });
await app.init();

const server = new HttpServer({
  port: Number(process.env.PORT ?? 8080),
  listener: app.getHttpAdapter().getInstance(),
});
await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
